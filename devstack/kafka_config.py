"""What the development broker is told, and why; production's settings live in `deploy/`."""

from pathlib import Path

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
log.dirs={data}

# After kill -9 the controller waits for the dead registration to run out before it lets the broker in again:
# 9 s by default.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500

# Topics come from waiting_room/topics.py; a misspelt one is an error, not a new topic.
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.num.partitions=8
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# One member joins after another when a stack starts; tests end sessions within seconds.
group.initial.rebalance.delay.ms=100
group.min.session.timeout.ms=1000

# 1,700 partitions on one laptop: the defaults map 20 MB of index a partition and reserve 128 MB to compact.
# 256 KB of index cover 64 MB of log at one entry in 4 KB, with room for the larger entries of the time index.
log.segment.bytes=67108864
log.index.size.max.bytes=262144
log.segment.delete.delay.ms=1000
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.io.buffer.size=65536
log.cleaner.backoff.ms=5000
log.retention.check.interval.ms=60000
num.recovery.threads.per.data.dir=8

# Two cores.
num.network.threads=2
num.io.threads=4
group.coordinator.threads=1
"""

_LOGGING = """\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{{ISO8601}}{{UTC}} %p %c{{1}} %m%n
rootLogger.level=INFO
rootLogger.appenderRef.console.ref=console
# These print every setting, or a line for every partition.
logger.settings.name=org.apache.kafka.common.config
logger.settings.level=WARN
logger.log.name=org.apache.kafka.storage.internals.log
logger.log.level=WARN
logger.controller.name=org.apache.kafka.controller
logger.controller.level=WARN
logger.partition.name=kafka.cluster.Partition
logger.partition.level=WARN
logger.state.name=state.change.logger
logger.state.level=WARN
"""


def write_server_properties(file: Path, *, data: Path, port: int, controller_port: int) -> None:
    """Writes the broker's settings for these ports and this data folder."""
    file.write_text(_PROPERTIES.format(data=data, port=port, controller_port=controller_port))


def write_logging_properties(file: Path) -> None:
    """Writes settings for log4j that send what matters to standard output."""
    file.write_text(_LOGGING.format())
