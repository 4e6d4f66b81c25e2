"""Takes patients for absent who have not arrived in time, where their clinic says who does: seat and dose come free."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog

from waiting_room.domain.appointment import By, EventType, Status
from waiting_room.store import due
from waiting_room.store.due import Key
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Pool
from waiting_room.telemetry import metrics
from workers.sweep.by_clinic import by_clinic

log = structlog.get_logger(__name__)

BATCH_MAX = 200


async def miss(pool: Pool) -> int:
    """Up to BATCH_MAX no-shows; how many. Raises database errors."""
    async with pool.acquire() as conn:
        keys = await due.absent(conn, BATCH_MAX)
    return await by_clinic(keys, partial(_record, pool))


async def _record(pool: Pool, keys: Sequence[Key]) -> int:
    """Who has arrived since, or was moved to another time, or is just being moved, is left alone."""
    async with pool.acquire() as conn, conn.transaction():
        journal = await Journal.open(conn, {clinic_id for clinic_id, _ in keys})
        absent = [
            each
            for each in (await journal.load(keys)).values()
            if each.known_state.status is Status.CONFIRMED
            and each.known_state.moving_to is None
            and each.start_at is not None
            and each.start_at < journal.now
        ]
        for booking in absent:
            journal.record(booking, EventType.NO_SHOW, by=By.SERVICE)
        await journal.write()
    metrics.SWEPT.labels("no_show").inc(len(absent))
    for booking in absent:
        log.info("no_show", clinic_id=booking.clinic_id, booking_ref=booking.booking_ref)
    return len(absent)
