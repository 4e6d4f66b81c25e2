"""Holds that ran out and stand in the way of a booking: rejected where they are met, before sweep comes for them."""

from __future__ import annotations

from waiting_room.domain import saga
from waiting_room.domain.appointment import By, EventType
from waiting_room.domain.seats import Taken
from waiting_room.store import holds
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection
from workers.hold.doses import Doses
from workers.hold.patients import Patients


async def expire_dead_holds(
    conn: Connection,
    clinic_id: str,
    journal: Journal,
    known: dict[tuple[str, str], Booking],
    taken: Taken,
    doses: Doses,
    patients: Patients,
) -> bool:
    """Reject the clinic's dead holds; whether any seat or dose came free. They are ``known`` from then on."""
    dead = await holds.dead_holds(conn, [clinic_id], journal.now)
    dead = [key for key in dead if key not in known]
    if not dead:
        return False
    expired = await journal.load(dead)
    if any(booking.doses for booking in expired.values()):
        await doses.expect_back(expired)
    for key, booking in expired.items():
        known[key] = booking
        journal.record(booking, EventType.REJECTED, reason=saga.out_of_time(booking.known_state), by=By.SERVICE)
        patients.drop(booking)
        if booking.provider_id and booking.seat is not None and booking.start_at:
            taken.free(booking.provider_id, booking.seat, booking.start_at)
    return True
