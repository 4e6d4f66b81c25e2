"""Before a partition is read: what others have left of it in PostgreSQL.

- Calls that are still leased, be it that their caller is about to record them or that it is dead. Each takes one of
  its clinic's slots, or a clinic whose partition moves would be called by its old owner and its new one at once.
- Lines of clinics that share a partition, or did: what did not fit a lane was passed over, and nobody may ring for it
  again. Lines of clinics that were in another partition: what rang for them is there.

What is rung for meanwhile waits in Kafka: it came later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable

import structlog

from waiting_room.store import left_to_call
from waiting_room.store.faults import passes
from waiting_room.store.left_to_call import Leased
from waiting_room.store.pool import Pool
from waiting_room.topics import CLINIC_CONFIRMATIONS
from workers.confirm.clinics import Clinics
from workers.pacing.lanes import Lanes
from workers.pacing.work import Rank

log = structlog.get_logger(__name__)
AGAIN_SECONDS = 0.5
ELSEWHERE_SECONDS = 2.0
"""How often to ask whether another worker's call is over: most are, long before their leases end."""


class Adopting:
    """``adopted`` is called when some partitions may be read. Waits for PostgreSQL as long as it takes."""

    def __init__(self, pool: Pool, lanes: Lanes, clinics: Clinics, adopted: Callable[[], None]) -> None:
        self._pool = pool
        self._lanes = lanes
        self._clinics = clinics
        self._adopted = adopted
        self._waiting: set[int] = set()
        self._assignments = 0
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def waiting(self) -> frozenset[int]:
        """Partitions that may not be read yet."""
        return frozenset(self._waiting)

    def assigned(self, partitions: Iterable[int]) -> None:
        """These are ours now."""
        self._waiting.update(partitions)
        self._assignments += 1
        if self._waiting and not self._stopped and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._adopt(), name="adopt partitions")

    def revoked(self, partitions: Iterable[int]) -> None:
        """These are not any more."""
        self._waiting.difference_update(partitions)

    async def take_up(self, clinic_ids: Collection[str]) -> bool:
        """Open the lanes of these clinics, which moved, where their new partitions are ours; whether PostgreSQL
        answered.
        """
        await self._clinics.know(clinic_ids)
        systems = [self._clinics.systems[each] for each in clinic_ids if each in self._clinics.systems]
        moved = {each.clinic_id: each.partition for each in systems}
        try:
            async with self._pool.acquire() as conn:
                leased = await left_to_call.leased(conn, set(moved.values()))
        except Exception as error:
            if not passes(error):
                raise
            log.warning("moved_not_taken_up", error=type(error).__name__)
            return False
        self._count(each for each in leased if each.clinic_id in moved)
        for clinic_id, partition in moved.items():
            self._lanes.adopt(clinic_id, (CLINIC_CONFIRMATIONS, partition), time.monotonic())
        self._adopted()
        return True

    def check(self) -> None:
        """Raises what it cannot go on with; nothing new is read any more then."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Give up what is being read, and read nothing that is assigned from now on."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _adopt(self) -> None:
        while wanted := set(self._waiting):
            assignments = self._assignments
            try:
                async with self._pool.acquire() as conn:
                    leased = await left_to_call.leased(conn, wanted)
                    lines = await left_to_call.lines_in(conn, wanted)
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("partitions_not_adopted", error=type(error).__name__)
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            await self._clinics.know({each.clinic_id for each in leased} | {each.clinic_id for each in lines})
            if assignments != self._assignments:
                continue  # what was read is from before others may have had them
            self._count(each for each in leased if each.partition in self._waiting)
            now = time.monotonic()
            for line in lines:
                if line.partition in self._waiting and (line.moved or self._clinics.shares(line.clinic_id)):
                    self._lanes.adopt(line.clinic_id, (CLINIC_CONFIRMATIONS, line.partition), now)
            self._waiting -= wanted
            self._adopted()

    def _count(self, leased: Iterable[Leased]) -> None:
        now = time.monotonic()
        for each in leased:
            self._lanes.leased(
                each.clinic_id,
                each.booking_ref,
                Rank.PRIORITY if each.withdrawing else Rank.NORMAL,
                (CLINIC_CONFIRMATIONS, each.partition),
                now + min(each.seconds, ELSEWHERE_SECONDS),
                now,
            )
