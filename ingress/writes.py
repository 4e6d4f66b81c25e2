"""PostgreSQL as clinics change in it what is theirs: a few connections, so that reads never wait for them.

Calendars, stock, and what became of a confirmed appointment. Nothing on a booking's way to being decided writes to the
database from ingress.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import structlog

from ingress import problems
from ingress.refusal import Refused
from waiting_room.settings import Settings
from waiting_room.store.faults import is_contention, passes
from waiting_room.store.pool import Connection, Pool, create_pool

log = structlog.get_logger(__name__)
T = TypeVar("T")
CONNECTIONS: Final = 2
WITHIN_SECONDS: Final = 4.0
TRIES: Final = 5
RETRY_SECONDS: Final = 2


class Writes:
    """A pool that connects when it is first needed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, settings: Settings) -> Writes:
        """Waits for nothing; PostgreSQL may be away."""
        return cls(await create_pool(settings.model_copy(update={"postgres_pool_max": CONNECTIONS}), "ingress writes"))

    async def run(self, change: Callable[[Connection], Awaitable[T]]) -> T:
        """Run ``change`` in one transaction; again where others held its clinic for too long.

        Raises what ``change`` raises, and then nothing is written; Refused (503) when the database does not answer.
        """
        for attempt in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(WITHIN_SECONDS), self._transaction() as connection:
                    return await change(connection)
            except Exception as error:
                if is_contention(error) and attempt < TRIES:
                    continue
                if not passes(error):
                    raise
                log.warning("not_changed", why=type(error).__name__)
                headers = {"Retry-After": str(RETRY_SECONDS)}
                raise Refused(problems.NOT_CHANGED, "The database does not answer.", headers=headers) from error
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        """Cut what is still open."""
        self._pool.terminate()
