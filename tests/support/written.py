"""Bookings written as their writers do, through the Journal, without running those writers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.support.commands import APP, REFS
from tests.support.patients import sealed
from tests.support.world import SERVICE, ClinicSpec, tomorrow
from waiting_room.domain.appointment import By, EventType, Reason
from waiting_room.store.holds import Claim, claim_seats
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection

HELD = (EventType.ACCEPTED, EventType.HELD)
VERIFYING = (*HELD, EventType.VERIFYING)
CALLING = (*HELD, EventType.CALLING)
UNKNOWN = (*CALLING, EventType.OUTCOME_UNKNOWN)
CONFIRMED = (*CALLING, EventType.CONFIRMED)
WITHDRAWING = (*CONFIRMED, EventType.CANCELLED)
HALF_AN_HOUR = timedelta(minutes=30)
_SLOTS = 100 * 48
"""Starts of a seat: so many days are surely there to be claimed."""


async def plant(
    conn: Connection,
    spec: ClinicSpec,
    number: int,
    events: tuple[EventType, ...] = HELD,
    *,
    app_id: str = APP,
    since: datetime | None = None,
    hold_until: datetime | None = None,
    next_attempt_at: datetime | None = None,
    reason: Reason | None = None,
    start_at: datetime | None = None,
    patient: dict[str, Any] | None = None,
) -> Booking:
    """The ``number``-th booking of this clinic after ``events``, its seat claimed as long as it keeps one.

    ``since``: when it was held and, if it is, decided; ``reason``: why it was rejected, or not moved; ``start_at``:
    instead of the ``number``-th half hour of tomorrow.
    """
    if start_at is not None:  # its month may be nobody's business but this test's
        await conn.execute("SELECT add_claim_ranges($1, $2)", start_at.date(), (start_at + HALF_AN_HOUR).date())
    async with conn.transaction():
        journal = await Journal.open(conn, [spec.clinic_id])
        booking = _new(journal, spec, number, app_id=app_id, since=since, hold_until=hold_until)
        booking.next_attempt_at = next_attempt_at
        if start_at is not None:
            booking.start_at, booking.end_at = start_at, start_at + HALF_AN_HOUR
        if patient is not None:
            booking.patient_id, booking.patient = await sealed(conn, patient, app_id)
        for event in events:
            cancelled = event is EventType.CANCELLED
            refused = event in (EventType.REJECTED, EventType.RESCHEDULE_REFUSED)
            why = reason if refused else Reason.PATIENT if cancelled else None
            asked = cancelled or event is EventType.RESCHEDULE_REFUSED
            journal.record(booking, event, reason=why, by=By.PATIENT if asked else None)
        if since is not None and booking.decided_at is not None:
            booking.decided_at = since
        await journal.write()
        if booking.known_state.keeps_seat:
            await _claim_seats(conn, spec, [booking])
    return booking


async def plant_many(conn: Connection, spec: ClinicSpec, first: int, count: int) -> list[Booking]:
    """As ``plant`` for the numbers from ``first`` on, all of them held; thousands in a second."""
    async with conn.transaction():
        journal = await Journal.open(conn, [spec.clinic_id])
        bookings = [_new(journal, spec, number) for number in range(first, first + count)]
        for booking in bookings:
            for event in HELD:
                journal.record(booking, event)
        await journal.write()
        await _claim_seats(conn, spec, bookings)
    return bookings


def _new(
    journal: Journal,
    spec: ClinicSpec,
    number: int,
    *,
    app_id: str = APP,
    since: datetime | None = None,
    hold_until: datetime | None = None,
) -> Booking:
    seat, slot = divmod(number, _SLOTS)
    start_at = tomorrow(0) + slot * HALF_AN_HOUR
    return Booking(
        clinic_id=spec.clinic_id,
        booking_ref=REFS.derive(spec.clinic_id, APP, str(number)),
        app_id=app_id,
        accepted_at=since or journal.now,
        held_at=since or journal.now,
        ticket=journal.next_ticket(spec.clinic_id),
        provider_id=spec.provider_id,
        seat=seat,
        service_type=SERVICE,
        start_at=start_at,
        end_at=start_at + HALF_AN_HOUR,
        patient_id="patient",
        patient=b'{"id": "patient"}',  # as it was before there were keys
        hold_until=hold_until or start_at,
    )


async def _claim_seats(conn: Connection, spec: ClinicSpec, bookings: Sequence[Booking]) -> None:
    claims = []
    for each in bookings:
        assert each.start_at is not None
        assert each.end_at is not None
        seat = each.seat or 0
        claims.append(Claim(each.clinic_id, spec.provider_id, seat, each.start_at, each.end_at, each.booking_ref, 1))
    await claim_seats(conn, claims)
