"""Rejects holds that ran out, which frees their seats unless the clinic may know of the booking."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import structlog

from waiting_room.domain import saga
from waiting_room.domain.appointment import ClinicState, EventType, Status
from waiting_room.store import due
from waiting_room.store.due import Key
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Pool
from waiting_room.telemetry import decided, metrics
from workers.sweep.by_clinic import by_clinic

log = structlog.get_logger(__name__)

BATCH_MAX = 200


async def expire(pool: Pool) -> int:
    """Reject up to BATCH_MAX expired holds; how many. Raises database errors."""
    async with pool.acquire() as conn:
        keys = await due.expired(conn, BATCH_MAX)
    return await by_clinic(keys, partial(_reject, pool))


def may_be_rejected(booking: Booking, now: datetime) -> bool:
    """Whether this booking's time is up and no outcome of a call can be on its way but an unknown one.

    An unknown one keeps its seat until the clinic was asked.
    """
    state = booking.known_state
    ran_out = booking.hold_until is not None and booking.hold_until < now
    return ran_out and state.status is Status.PENDING and state.clinic_state in (ClinicState.NONE, ClinicState.UNKNOWN)


async def _reject(pool: Pool, keys: Sequence[Key]) -> int:
    async with pool.acquire() as conn, conn.transaction():
        journal = await Journal.open(conn, {clinic_id for clinic_id, _ in keys})
        bookings = await journal.load(keys)
        called = await due.being_called(conn, keys)
        rejected = [
            booking for key, booking in bookings.items() if key not in called and may_be_rejected(booking, journal.now)
        ]
        for booking in rejected:
            journal.record(booking, EventType.REJECTED, reason=saga.out_of_time(booking.known_state))
        await journal.write()
    for booking in rejected:
        _report(booking)
    return len(rejected)


def _report(booking: Booking) -> None:
    metrics.SWEPT.labels("expired").inc()
    decided.observe(booking)
    log.info("hold_expired", booking_ref=booking.booking_ref, clinic_state=booking.known_state.clinic_state)
