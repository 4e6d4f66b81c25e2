"""PostgreSQL as ingress sees it: for reading only, and its absence is an answer like others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from ingress import problems
from ingress.refusal import Refused
from waiting_room.settings import Settings
from waiting_room.store.faults import passes
from waiting_room.store.pool import Connection, Pool, create_pool

log = structlog.get_logger(__name__)
T = TypeVar("T")
WITHIN_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 2


class Reads:
    """A pool that connects when it is first needed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, settings: Settings) -> Reads:
        """Waits for nothing; PostgreSQL may be away."""
        return cls(await create_pool(settings, "ingress"))

    async def run(self, query: Callable[[Connection], Awaitable[T]]) -> T:
        """What ``query`` reads on a connection. Raises Refused (503) when that takes longer than WITHIN_SECONDS."""
        reading = asyncio.create_task(self._run(query), name="read")
        # Not asyncio.timeout: giving a connection back to a server that does not answer takes time of its own.
        try:
            done, _ = await asyncio.wait((reading,), timeout=WITHIN_SECONDS)
        finally:
            reading.cancel()
            reading.add_done_callback(_look_at)
        if not done:
            raise _away("it does not answer")
        error = reading.exception()
        if error is None:
            return reading.result()
        if passes(error):
            raise _away(type(error).__name__) from error
        raise error

    async def _run(self, query: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._pool.acquire() as connection:
            return await query(connection)

    async def close(self) -> None:
        """Cut what is still open."""
        self._pool.terminate()


def _look_at(done: asyncio.Task[T]) -> None:
    """An error that comes after the answer was given is nobody's any more."""
    if not done.cancelled():
        done.exception()


def _away(why: str) -> Refused:
    log.warning("postgres_away", why=why)
    return Refused(problems.READS_AWAY, "The database does not answer.", headers={"Retry-After": str(RETRY_SECONDS)})
