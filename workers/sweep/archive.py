"""Archives bookings that are over: out of the tables that are written all day, a clinic's a few at a time.

Each batch is one transaction, under its clinic's lock for as long as that takes; what was not done when a sweep is
killed is found again. A booking that is over and still has something open is passed over, and met again in the next
course; so is one that fails whatever is tried, by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import structlog

from waiting_room.store import archiving
from waiting_room.store.archiving import Candidate
from waiting_room.store.faults import is_contention, passes
from waiting_room.store.pool import Connection, Pool
from waiting_room.telemetry import metrics
from workers.sweep.by_clinic import Key, by_clinic

log = structlog.get_logger(__name__)

BATCH_MAX = 25
LOOKS_A_ROUND = 60
COURSE_EVERY_SECONDS = 600.0
COUNT_EVERY_SECONDS = 60.0
CLAIMS_MAX = 1_000


@dataclass(slots=True)
class _Course:
    """How far a clinic's bookings have been looked through: first those with a time, then those without."""

    next_at: float
    after: Candidate | None = None
    placed: bool = True


class Archiving:
    """Goes through each clinic's old bookings every COURSE_EVERY_SECONDS, batch by batch."""

    def __init__(self, pool: Pool, after_days: int) -> None:
        self._pool = pool
        self._after_days = after_days
        self._courses: dict[str, _Course] = {}
        self._ranges: set[date] = set()
        """Months that are known to be there."""
        self._count_at = float("-inf")

    async def look(self) -> int:
        """At most LOOKS_A_ROUND batches; how many bookings were archived. Raises database errors; a clinic that is
        locked waits for the next round.
        """
        now = asyncio.get_running_loop().time()
        async with self._pool.acquire() as conn:
            before = await archiving.before(conn, self._after_days)
            if self._count_at <= now:
                self._count_at = now + COUNT_EVERY_SECONDS
                await self._count(conn, now, before)
        due = [clinic_id for clinic_id, course in self._courses.items() if course.next_at <= now]
        done = 0
        for clinic_id in sorted(due, key=lambda clinic_id: self._courses[clinic_id].next_at)[:LOOKS_A_ROUND]:
            try:
                done += await self._look_at(clinic_id, self._courses[clinic_id], now, before)
            except Exception as error:
                if not is_contention(error):
                    raise
                log.info("clinic_busy", clinic_id=clinic_id)
        return done

    async def _count(self, conn: Connection, now: float, before: datetime) -> None:
        """Which clinics there are, and how late all this is."""
        clinics = await archiving.clinics(conn)
        self._courses = {clinic_id: self._courses.get(clinic_id) or _Course(now) for clinic_id in clinics}
        metrics.ARCHIVE_LATE.set(await archiving.late_seconds(conn, before))
        await archiving.forget_claims(conn, CLAIMS_MAX)

    async def _look_at(self, clinic_id: str, course: _Course, now: float, before: datetime) -> int:
        async with self._pool.acquire() as conn:
            find = archiving.placed if course.placed else archiving.unplaced
            found = await find(conn, clinic_id, before, course.after, BATCH_MAX)
            done = await self._archive(conn, clinic_id, found, before) if found else 0
        course.after = found[-1] if found else None
        if len(found) < BATCH_MAX:
            if not course.placed:
                course.next_at = now + COURSE_EVERY_SECONDS
            course.placed, course.after = not course.placed, None
        return done

    async def _archive(self, conn: Connection, clinic_id: str, found: Sequence[Candidate], before: datetime) -> int:
        async def move(some: Sequence[Key]) -> int:
            async with conn.transaction():
                return len(await archiving.archive(conn, clinic_id, [ref for _, ref in some], before))

        keys = await self._keys(conn, clinic_id, found)
        try:
            gone = await move(keys)
        except Exception as error:
            if passes(error):
                raise
            # A month may just have been detached: what goes there waits. Who fails all the same keeps nobody else.
            self._ranges.clear()
            gone = await by_clinic(await self._keys(conn, clinic_id, found), move)
        metrics.SWEPT.labels("archived").inc(gone)
        return gone

    async def _keys(self, conn: Connection, clinic_id: str, found: Sequence[Candidate]) -> list[Key]:
        """Of those whose months are there; others wait until somebody settles that by hand."""
        for month in sorted({each.month for each in found} - self._ranges):
            if await archiving.make_range(conn, month):
                self._ranges.add(month)
            else:
                log.warning("not_archived", clinic_id=clinic_id, detached=f"{month:%Y-%m}")
        return [(clinic_id, each.booking_ref) for each in found if each.month in self._ranges]
