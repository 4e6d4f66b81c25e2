"""Runs a command's work and turns what goes wrong into one line on standard error and an exit status.

0  done
1  the answer is no: topics differ, a file is refused, an audit found offences
2  not done: bad settings, wrong use, a server that does not answer
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
from aiokafka.errors import KafkaError

from waiting_room import settings as settings_module
from waiting_room.settings import Settings
from waiting_room.store.migrate import MigrationFailed
from waiting_room.store.pool import SERVER_SETTINGS, Connection
from waiting_room.telemetry import logs

_BY_HAND = {"transaction_timeout": "120s", "idle_in_transaction_session_timeout": "120s", "lock_timeout": "10s"}
_ASK_AGAIN_SECONDS = 0.3


class No(Exception):
    """The answer, for a person; may have several lines. Exit status 1."""


class NotDone(Exception):
    """Why the command could not do its work, for a person. Exit status 2."""


def run(work: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """Do ``work`` with this process's settings, logging to standard error."""
    settings = settings_module.load()
    logs.configure("command", settings.log_level)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it reports comes back to us as an error
    try:
        asyncio.run(work(settings))
    except No as answer:
        exit_with(1, str(answer))
    except (NotDone, MigrationFailed) as error:
        exit_with(2, str(error))
    except KafkaError as error:
        hint = "WAITING_ROOM_KAFKA_BOOTSTRAP says where it is"
        exit_with(2, f"Kafka at {settings.kafka_bootstrap}: {_line_of(error)}; {hint}")
    except asyncpg.InsufficientPrivilegeError as error:
        hint = "WAITING_ROOM_POSTGRES_DSN says as whom to connect, and --help of the command whose rights it needs"
        exit_with(2, f"PostgreSQL: {_line_of(error)}; {hint}")
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        exit_with(2, f"PostgreSQL: {_line_of(error)}")
    except (OSError, TimeoutError) as error:
        exit_with(2, f"PostgreSQL: {_line_of(error)}; WAITING_ROOM_POSTGRES_DSN says where it is")


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Connection]:
    """A connection for one command: it may wait and take longer than a process that serves bookings."""
    connection = await asyncpg.connect(
        settings.postgres_dsn.get_secret_value(),
        timeout=5,
        server_settings={**SERVER_SETTINGS, **_BY_HAND, "application_name": "waiting-room command"},
    )
    try:
        yield connection
    finally:
        await connection.close()


async def once_started(seconds: float, ask: Callable[[], Awaitable[object]]) -> None:
    """Ask again for up to ``seconds`` while the server that is asked is still starting."""
    give_up_at = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            await ask()
            return
        except (OSError, TimeoutError, KafkaError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            if asyncio.get_running_loop().time() >= give_up_at:
                raise
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


def write_file(path: Path, content: bytes) -> None:
    """Raises NotDone."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise NotDone(f"{path}: {error.strerror}") from error


def _line_of(error: BaseException) -> str:
    said = str(error).partition("\n")[0]
    return said or type(error).__name__


def exit_with(status: int, why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    raise SystemExit(status)
