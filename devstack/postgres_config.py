"""What the development PostgreSQL is told, and why; production's settings live in `deploy/`."""

from pathlib import Path

_SETTINGS = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'

# What was acknowledged survives kill -9 of anything, and power loss as far as the disk is honest.
fsync = on
synchronous_commit = on
full_page_writes = on

# Two cores and a few hundred megabytes. Everything is in memory, so reads need no I/O workers and plans
# no second process.
shared_buffers = 256MB
huge_pages = off
effective_cache_size = 1GB
work_mem = 8MB
maintenance_work_mem = 64MB
io_method = sync
max_worker_processes = 4
max_parallel_workers_per_gather = 0
jit = off
random_page_cost = 1.1

# Few checkpoints under load, and yet a crash is recovered within seconds. The packaged server can compress
# full pages with pglz only, which costs more here than writing them.
wal_compression = off
wal_buffers = 16MB
checkpoint_timeout = 5min
checkpoint_completion_target = 0.9
min_wal_size = 256MB
max_wal_size = 1GB

# Queue-like tables age quickly.
autovacuum_max_workers = 2
autovacuum_naptime = 10s

log_min_messages = warning
log_checkpoints = off
log_lock_waits = on
log_line_prefix = '%m [%p] %q%u@%d '
"""


def write_settings(file: Path, *, port: int) -> None:
    """Writes the server's settings for this port."""
    file.write_text(_SETTINGS.format(port=port))
