"""Real servers for tests: one Kafka and one PostgreSQL a session, started when the first test asks.

A server that runs already is used instead where its address is in the environment.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psutil

from devstack.kafka_server import KafkaServer
from devstack.postgres_server import PostgresServer

READY_SECONDS = 200.0
"""For a process to be so: machines are slow, and only what fails waits so long."""
_FOLDERS = Path(__file__).parents[1] / ".run" / "tests"


@dataclass(frozen=True)
class Kafka:
    """A broker to connect to."""

    bootstrap_servers: str


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server to make databases on."""

    admin_dsn: str

    def dsn(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """URL of another database, as the administrator or, with `user` and `password`, as somebody else."""
        parts = urlsplit(self.admin_dsn)
        login, _, address = parts.netloc.rpartition("@")
        if user is not None:
            login = f"{quote(user, '')}:{quote(password or '', '')}"
        netloc = f"{login}@{address}" if login else address
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{quote(database, '')}"))


@asynccontextmanager
async def kafka_for_tests() -> AsyncIterator[Kafka]:
    """The broker of WAITING_ROOM_KAFKA_BOOTSTRAP, or a fresh one that is gone afterwards."""
    if address := os.environ.get("WAITING_ROOM_KAFKA_BOOTSTRAP"):
        yield Kafka(address)
        return
    server = KafkaServer(server_folder("kafka"), ready_timeout_seconds=READY_SECONDS)
    await server.start()
    try:
        yield Kafka(server.bootstrap_servers)
    finally:
        await server.stop()


@asynccontextmanager
async def postgres_for_tests() -> AsyncIterator[Postgres]:
    """The server of WAITING_ROOM_POSTGRES_DSN, or a fresh one that is gone afterwards."""
    if dsn := os.environ.get("WAITING_ROOM_POSTGRES_DSN"):
        yield Postgres(dsn)
        return
    server = PostgresServer(server_folder("postgres"), ready_timeout_seconds=READY_SECONDS)
    await server.start()
    try:
        yield Postgres(server.dsn())
    finally:
        await server.stop()


def server_folder(name: str) -> Path:
    """A new folder for a server's data; on the disk of the checkout, since /tmp may be memory and sync nothing."""
    own = _FOLDERS / str(os.getpid())
    own.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=own))


def remove_server_folders() -> None:
    """Removes what this run left, and what runs left that were killed before they could."""
    if not _FOLDERS.exists():
        return
    for folder in _FOLDERS.iterdir():
        owner = int(folder.name)
        if owner == os.getpid() or not psutil.pid_exists(owner):
            shutil.rmtree(folder, ignore_errors=True)
