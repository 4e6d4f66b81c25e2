"""Notices that clinics moved to other partitions: lets go of those that left ours, takes up those that came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from waiting_room.store import moves
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool
from workers.confirm.adopting import Adopting

log = structlog.get_logger(__name__)


class Moves:
    """``refresh`` reads all known clinics again, whoever shares a partition with whom, too; whether it could."""

    def __init__(self, pool: Pool, adopting: Adopting, refresh: Callable[[], Awaitable[bool]]) -> None:
        self._pool = pool
        self._adopting = adopting
        self._refresh = refresh
        self._seen: int | None = None

    async def look(self) -> None:
        """Ask what moved since the last look; costs next to nothing while nothing did.

        Whatever was known at the first look is read again: clinics may have moved since it was read.
        """
        try:
            async with self._pool.acquire() as conn:
                if self._seen is None:
                    newest, moved = await moves.newest(conn), []
                else:
                    found = await moves.since(conn, self._seen)
                    if not found:
                        return
                    newest, moved = found[-1][0], [clinic_id for _, clinic_id in found]
        except Exception as error:
            if not passes(error):
                raise
            log.warning("moves_not_read", error=type(error).__name__)
            return
        if await self._refresh() and await self._adopting.take_up(moved):
            self._seen = newest
