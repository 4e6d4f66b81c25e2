"""Gives doses that came free to bookings that are short of them, the first to have booked first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog

from waiting_room.store import stock
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Pool
from waiting_room.telemetry import metrics
from workers.sweep.by_clinic import by_clinic

log = structlog.get_logger(__name__)


async def fill(pool: Pool) -> int:
    """How many bookings are short no more. Raises database errors."""
    async with pool.acquire() as conn:
        keys = await stock.fillable(conn)
    return await by_clinic(keys, partial(_fill, pool))


async def _fill(pool: Pool, keys: Sequence[tuple[str, str]]) -> int:
    filled = 0
    async with pool.acquire() as conn, conn.transaction():
        await Journal.open(conn, {clinic_id for clinic_id, _ in keys})
        for clinic_id, product in keys:
            opened = await stock.open_stock(conn, clinic_id, product)
            if opened is not None:
                before = opened.short
                await opened.write(None)
                filled += before - opened.short
    metrics.SWEPT.labels("dose_found").inc(filled)
    return filled
