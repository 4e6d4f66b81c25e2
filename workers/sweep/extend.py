"""Lets what waits at a clinic that is down wait longer: up to when a decision is of no use to the patient any more."""

from __future__ import annotations

import structlog

from waiting_room.store import outages
from waiting_room.store.faults import is_contention
from waiting_room.store.pool import Pool
from waiting_room.telemetry import metrics

log = structlog.get_logger(__name__)

AHEAD_SECONDS = 60.0
"""Holds are extended so long before they run out: a sweep may be late, and an outage may be noticed late."""


async def extend(pool: Pool) -> int:
    """How many holds got more time. Raises database errors; a clinic that is locked waits for the next round."""
    async with pool.acquire() as conn:
        clinic_ids = await outages.running_out(conn, AHEAD_SECONDS)
    extended = 0
    for clinic_id in clinic_ids:
        try:
            async with pool.acquire() as conn, conn.transaction():
                count = (await outages.extend(conn, [clinic_id]))[clinic_id]
        except Exception as error:
            if not is_contention(error):
                raise
            log.info("clinic_busy", clinic_id=clinic_id)
            continue
        extended += count
        metrics.SWEPT.labels("extended").inc(count)
        log.info("holds_extended", clinic_id=clinic_id, bookings=count)
    return extended
