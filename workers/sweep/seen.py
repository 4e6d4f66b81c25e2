"""Takes patients for seen of whom nobody has said what became, where something is kept for them until that is said.

Their doses were given, or would be kept for ever, and a count of what is left would leave others short of them; and who
may have one appointment of a service at a time would never have another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from waiting_room.domain.appointment import EventType, Status
from waiting_room.store import due
from waiting_room.store.due import Key
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Pool
from waiting_room.telemetry import metrics
from workers.sweep.by_clinic import by_clinic

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS: Final = 600.0
BATCH_MAX: Final = 200


class Seen:
    """Looks every LOOK_EVERY_SECONDS at what ended ``after_hours`` ago: long enough to say what became of it, and over
    by the next count, so that its doses are out of the stock.
    """

    def __init__(self, pool: Pool, after_hours: int) -> None:
        self._pool = pool
        self._after_hours = after_hours
        self._look_at = float("-inf")

    async def look(self) -> int:
        """How many were taken for seen, up to BATCH_MAX; the next look goes on from there. Raises database errors."""
        clock = asyncio.get_running_loop().time()
        if clock < self._look_at:
            return 0
        self._look_at = clock + LOOK_EVERY_SECONDS
        async with self._pool.acquire() as conn:
            keys = await due.over(conn, self._after_hours, BATCH_MAX)
        seen = await by_clinic(keys, partial(_record, self._pool, timedelta(hours=self._after_hours)))
        if seen == BATCH_MAX:
            self._look_at = clock
        return seen


async def _record(pool: Pool, after: timedelta, keys: Sequence[Key]) -> int:
    """Of whom something has been said since, or who was moved to another time, is left alone."""
    async with pool.acquire() as conn, conn.transaction():
        journal = await Journal.open(conn, {clinic_id for clinic_id, _ in keys})
        until = journal.now - after
        over = [
            each
            for each in (await journal.load(keys)).values()
            if each.known_state.status in (Status.CONFIRMED, Status.ARRIVED)
            and each.known_state.moving_to is None
            and each.end_at is not None
            and each.end_at < until
        ]
        for booking in over:
            journal.record(booking, EventType.COMPLETED)
        await journal.write()
    metrics.SWEPT.labels("seen").inc(len(over))
    for booking in over:
        log.info("taken_for_seen", clinic_id=booking.clinic_id, booking_ref=booking.booking_ref)
    return len(over)
