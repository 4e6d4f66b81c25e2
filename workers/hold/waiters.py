"""Bookings of a batch for which nothing was free, and which would rather wait than be rejected."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from waiting_room.domain.appointment import EventType, Status
from waiting_room.store import waitlist
from waiting_room.store.holds import Rules
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection
from waiting_room.store.waitlist import NewWaiter
from workers.hold.patients import Patients
from workers.hold.wishes import Bookable


class Waiters:
    """They have their tickets in the order in which they asked, as everybody has."""

    def __init__(self) -> None:
        self._new: list[tuple[Booking, NewWaiter]] = []

    def add(self, booking: Booking, plan: Bookable, journal: Journal, patients: Patients, rules: Rules) -> None:
        """It waits for what it asked for, and takes up one of the bookings that its patient may have open."""
        wanted_provider = booking.provider_id
        booking.provider_id = booking.start_at = booking.range_to = None
        booking.eta_p50 = booking.eta_p90 = None  # told of a decision by its clinic, which is not what is waited for
        booking.ticket = journal.next_ticket(booking.clinic_id)
        journal.record(booking, EventType.WAITLISTED)
        patients.take(booking, rules, decided=False, day=plan.from_at.astimezone(ZoneInfo(rules.timezone)).date())
        service_type = plan.service.service_type
        row = NewWaiter(*booking.key, service_type, wanted_provider, plan.from_at, plan.to_at, waits=True)
        self._new.append((booking, row))

    async def write(self, conn: Connection) -> None:
        """After their bookings. Who was cancelled in the same batch waits no more."""
        if self._new:
            rows = [row._replace(waits=each.known_state.status is Status.WAITLISTED) for each, row in self._new]
            await waitlist.add(conn, rows)
