"""Lanes filled from PostgreSQL: where a partition is shared, what did not fit into a lane stays there until it fits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable

import structlog

from waiting_room.domain.directory import AdapterKind
from waiting_room.store import calls
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool
from waiting_room.topics import CLINIC_CONFIRMATIONS
from workers.confirm.clinics import Clinics
from workers.pacing.lanes import Lanes
from workers.pacing.overflow import Refill
from workers.pacing.work import Rank

log = structlog.get_logger(__name__)
AGAIN_SECONDS = 0.5
AT_ONCE = 4
"""Lanes that are filled side by side: connections are for claims and outcomes, too."""


class Filling:
    """``look`` is called after each round of the lanes; ``filled`` is called when a lane has got more."""

    def __init__(self, pool: Pool, lanes: Lanes, clinics: Clinics, filled: Callable[[], None]) -> None:
        self._pool = pool
        self._lanes = lanes
        self._clinics = clinics
        self._filled = filled
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._to_adopt: set[int] = set()

    def look(self) -> None:
        """Start to read what the lanes ask for."""
        for refill in self._lanes.refills():
            task = asyncio.create_task(self._fill(refill), name=f"fill {refill.clinic_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def assigned(self, partitions: Iterable[int]) -> None:
        """These are ours now: their clinics' lines are looked for in PostgreSQL soon."""
        self._to_adopt.update(partitions)

    def revoked(self, partitions: Iterable[int]) -> None:
        """These are not any more."""
        self._to_adopt.difference_update(partitions)

    async def adopt(self) -> None:
        """Open the lanes of clinics that have a line for which nobody may ring any more: some of those that share a
        partition, or did, or were in another one.
        """
        wanted = set(self._to_adopt)
        if not wanted:
            return
        try:
            async with self._pool.acquire() as conn:
                found = await calls.lines_in(conn, wanted)
        except Exception as error:
            if not passes(error):
                raise
            log.warning("lines_not_read", error=type(error).__name__)
            return
        await self._clinics.know(line.clinic_id for line in found)
        for line in found:
            if line.partition in self._to_adopt and (line.moved or self._clinics.shares(line.clinic_id)):
                self._lanes.adopt(line.clinic_id, (CLINIC_CONFIRMATIONS, line.partition), time.monotonic())
        self._to_adopt -= wanted
        self._filled()

    async def take_up(self, clinic_ids: Collection[str]) -> None:
        """Open the lanes of these clinics, which moved, where their new partitions are ours."""
        await self._clinics.know(clinic_ids)
        for clinic_id in clinic_ids:
            system = self._clinics.systems.get(clinic_id)
            if system is not None and system.adapter is not AdapterKind.BUILTIN:
                self._lanes.adopt(clinic_id, (CLINIC_CONFIRMATIONS, system.partition), time.monotonic())
        self._filled()

    async def stop(self) -> None:
        """Give up what is being read."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fill(self, refill: Refill) -> None:
        try:
            async with self._room, self._pool.acquire() as conn:
                found = await calls.take(conn, refill.clinic_id, refill.known, refill.wanted)
        except Exception as error:
            if not passes(error):
                raise
            log.warning("lane_not_filled", clinic_id=refill.clinic_id, error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)
            self._lanes.refill_failed(refill, time.monotonic())
        else:
            ranked = ((ref, Rank.PRIORITY if withdrawing else Rank.NORMAL) for ref, withdrawing in found)
            self._lanes.refilled(refill, ranked, time.monotonic())
        self._filled()
