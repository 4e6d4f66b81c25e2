"""The doses a batch gives out: read once, allotted in memory, claimed in one statement."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from waiting_room.domain.directory import ServiceType
from waiting_room.domain.stock import Portion, Shelf
from waiting_room.store import doses
from waiting_room.store.doses import DoseClaim
from waiting_room.store.journal import Booking
from waiting_room.store.pool import Connection

Key = tuple[str, str]
"""(clinic_id, booking_ref)"""


class Doses:
    """Asks the database nothing where no service consumes anything."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._shelves: dict[str, Shelf] = {}
        self._given: dict[Key, tuple[Portion, ...]] = {}

    async def read(self, wanted: Iterable[tuple[str, ServiceType]]) -> None:
        """What is free of all that these (clinic_id, service) consume."""
        pairs = {(clinic_id, each.product) for clinic_id, service in wanted for each in service.consumes}
        if pairs:
            self._shelves = await doses.shelves(self._conn, sorted(pairs))

    def take(self, key: Key, service: ServiceType, start_at: datetime, timezone: str) -> bool:
        """Whether the booking has got all that an appointment then consumes; else it has got nothing."""
        if not service.consumes:
            return True
        day = start_at.astimezone(ZoneInfo(timezone)).date()
        portions = self._shelves[key[0]].take(service.consumes, day)
        if portions is None:
            return False
        self._given[key] = portions
        return True

    def number(self, key: Key) -> int:
        """Doses that the booking has been given in this batch."""
        return sum(portion.doses for portion in self._given.get(key, ()))

    def give_back(self, key: Key) -> None:
        """The booking is not to have them after all; they were only given in this batch."""
        if portions := self._given.pop(key, None):
            self._shelves[key[0]].give_back(portions)

    async def expect_back(self, keys: Iterable[Key]) -> None:
        """What these bookings had claimed comes free with this batch: it may be given out again."""
        for clinic_id, portion in await doses.claims_of(self._conn, list(keys)):
            if clinic_id in self._shelves:
                self._shelves[clinic_id].give_back((portion,))

    async def claim(self, bookings: Iterable[Booking]) -> None:
        """For those of these bookings that were given any."""
        claims = [
            DoseClaim(
                *booking.key,
                booking.known_state.revision,
                portion.product,
                portion.pool,
                portion.lot,
                portion.doses,
                portion.asked_pool,
            )
            for booking in bookings
            for portion in self._given.get(booking.key, ())
        ]
        if claims:
            await doses.claim(self._conn, claims)
