"""Lanes filled from PostgreSQL: where a partition is shared, what did not fit into a lane stays there until it fits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from waiting_room.store import left_to_call
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool
from workers.pacing.disposition import LONGEST_ASIDE_SECONDS
from workers.pacing.lanes import Lanes
from workers.pacing.overflow import Refill
from workers.pacing.work import Rank

log = structlog.get_logger(__name__)
AGAIN_SECONDS = 0.5
AT_ONCE = 4
"""Lanes that are filled side by side: connections are for claims and outcomes, too."""


class Filling:
    """``look`` is called after each round of the lanes; ``filled`` is called when a lane has got more."""

    def __init__(self, pool: Pool, lanes: Lanes, filled: Callable[[], None]) -> None:
        self._pool = pool
        self._lanes = lanes
        self._filled = filled
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)

    def look(self) -> None:
        """Start to read what the lanes ask for."""
        for refill in self._lanes.refills():
            task = asyncio.create_task(self._fill(refill), name=f"fill {refill.clinic_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Give up what is being read."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fill(self, refill: Refill) -> None:
        try:
            async with self._room, self._pool.acquire() as conn:
                found, more_in = await left_to_call.take(
                    conn, refill.clinic_id, refill.known, refill.wanted, soon_seconds=LONGEST_ASIDE_SECONDS
                )
        except Exception as error:
            if not passes(error):
                raise
            log.warning("lane_not_filled", clinic_id=refill.clinic_id, error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)
            self._lanes.refill_failed(refill, time.monotonic())
        else:
            ranked = ((ref, Rank.PRIORITY if withdrawing else Rank.NORMAL) for ref, withdrawing in found)
            now = time.monotonic()
            self._lanes.refilled(refill, ranked, now, more_at=None if more_in is None else now + more_in)
        self._filled()
