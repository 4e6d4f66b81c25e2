"""A clinic's line made and moved on by hand, through the Journal, as workers write it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from tests.support.commands import APP, REFS
from tests.support.patients import tag
from tests.support.world import SERVICE, ClinicSpec, tomorrow
from waiting_room.domain.appointment import By, EventType, Reason
from waiting_room.store.journal import Booking, Journal

_ENDS = frozenset({EventType.REJECTED, EventType.CANCELLED})


async def line_up(
    connection: asyncpg.Connection[asyncpg.Record], spec: ClinicSpec, count: int, patient_id: str = "patient-1"
) -> list[str]:
    """The refs of ``count`` new bookings of APP, held one after the other, half an hour apart from midnight on."""
    refs = []
    async with connection.transaction():
        journal = await Journal.open(connection, [spec.clinic_id])
        for _ in range(count):
            ticket = journal.next_ticket(spec.clinic_id)
            start_at = tomorrow(0) + timedelta(minutes=30 * ticket)
            booking = Booking(
                clinic_id=spec.clinic_id,
                booking_ref=REFS.derive(spec.clinic_id, APP, f"in line {ticket}"),
                app_id=APP,
                accepted_at=journal.now + timedelta(microseconds=ticket),
                held_at=journal.now,
                ticket=ticket,
                provider_id=spec.provider_id,
                service_type=SERVICE,
                start_at=start_at,
                end_at=start_at + timedelta(minutes=30),
                patient_id=tag(patient_id),
                hold_until=start_at,
            )
            journal.record(booking, EventType.ACCEPTED)
            journal.record(booking, EventType.HELD)
            refs.append(booking.booking_ref)
        await journal.write()
    return refs


async def happen(
    connection: asyncpg.Connection[asyncpg.Record], spec: ClinicSpec, ref: str, events: Sequence[EventType]
) -> None:
    """Let these events happen to a booking, in one transaction."""
    async with connection.transaction():
        journal = await Journal.open(connection, [spec.clinic_id])
        booking = (await journal.load([(spec.clinic_id, ref)]))[spec.clinic_id, ref]
        for event in events:
            ends = event in _ENDS
            journal.record(booking, event, reason=Reason.PROVIDER if ends else None, by=By.CLINIC if ends else None)
        await journal.write()
