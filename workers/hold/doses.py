"""The doses a batch gives out: read once, allotted in memory, claimed in one statement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from waiting_room.domain.directory import Consumes, ServiceType
from waiting_room.domain.stock import Holder, Portion, Shelf
from waiting_room.store import doses
from waiting_room.store.doses import DoseClaim
from waiting_room.store.journal import Booking
from waiting_room.store.pool import Connection

Key = tuple[str, str]
"""(clinic_id, booking_ref)"""
_NOTHING = Shelf()


class Doses:
    """Asks the database nothing where no service consumes anything."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._shelves: dict[str, Shelf] = {}
        self._given: dict[Key, tuple[Portion, ...]] = {}
        self._had: dict[Key, tuple[Portion, ...]] = {}
        """What bookings had before, of those that are to be moved."""
        self._missing: dict[Key, tuple[Consumes, ...]] = {}
        """What they should have had, too, of those that are short."""
        self._swapped: set[Key] = set()
        self._holders: dict[str, list[Holder]] = {}
        """By clinic, who else may exchange what they have for what will not do for somebody any more."""

    async def read(
        self, wanted: Iterable[tuple[str, ServiceType]], moving: Iterable[Booking], *, for_the_short: bool = False
    ) -> None:
        """What is free of all that these (clinic_id, service) consume, and of what these bookings have; where others
        are short of it, nothing, unless it is ``for_the_short`` as well.
        """
        if keys := [booking.key for booking in moving if booking.doses]:
            self._had = await doses.claims_of(self._conn, keys)
        pairs = {(clinic_id, each.product) for clinic_id, service in wanted for each in service.consumes}
        pairs.update((key[0], portion.product) for key, portions in self._had.items() for portion in portions)
        if pairs:
            self._shelves = await doses.shelves(self._conn, sorted(pairs), for_the_short=for_the_short)

    async def read_missing(self, missing: Mapping[Key, tuple[Consumes, ...]]) -> None:
        """Of all that these bookings have and are short of, what is free, and kept from everybody else meanwhile."""
        self._missing = dict(missing)
        self._had = await doses.claims_of(self._conn, list(missing))
        pairs = {(key[0], each.product) for key, consumes in missing.items() for each in consumes}
        pairs.update((key[0], portion.product) for key, portions in self._had.items() for portion in portions)
        self._shelves = await doses.shelves(self._conn, sorted(pairs), for_the_short=True)

    async def read_holders(self, clinic_id: str, moving: Collection[Key], day: date) -> None:
        """Who beside these has doses that they could exchange, where any of these has some that expire before ``day``,
        by which they may be moved.
        """
        had = (portion for key in moving for portion in self._had.get(key, ()))
        products = self._shelves[clinic_id].expire_before(had, day) if clinic_id in self._shelves else ()
        if products:
            found = await doses.holders(self._conn, clinic_id, products)
            self._holders[clinic_id] = [each for each in found if (clinic_id, each.booking_ref) not in moving]

    def take(self, key: Key, service: ServiceType, start_at: datetime, timezone: str) -> bool:
        """Whether the booking has got all that an appointment then consumes; else it has got nothing."""
        if not service.consumes:
            return True
        portions = self._shelves[key[0]].take(service.consumes, start_at.astimezone(ZoneInfo(timezone)).date())
        if portions is None:
            return False
        self._given[key] = portions
        return True

    def keep(self, key: Key, start_at: datetime, timezone: str) -> bool:
        """Whether what the booking has will do for an appointment then too, or could be had of lots that will; and what
        it is short of, too.
        """
        portions, missing = self._given.get(key) or self._had.get(key, ()), self._missing.get(key, ())
        if not portions and not missing:
            return True
        day, shelf = start_at.astimezone(ZoneInfo(timezone)).date(), self._shelves.get(key[0], _NOTHING)
        found = shelf.take(missing, day)
        if found is None:
            return False
        kept = shelf.swap(portions, day)
        if kept is None and len(portions) == 1:
            kept = self._exchanged(key[0], portions[0], day)
        if kept is None:
            shelf.give_back(found)
            return False
        kept = (*kept, *found)
        if kept != portions:
            if key not in self._given:
                self._swapped.add(key)
            self._given[key] = kept
        return True

    def _exchanged(self, clinic_id: str, had: Portion, day: date) -> tuple[Portion] | None:
        """Another's doses for those that expire before ``day``: they come before that, and are as well served."""
        holders = self._holders.get(clinic_id, [])
        found = self._shelves[clinic_id].exchange(had, day, holders) if holders else None
        if found is None:
            return None
        portion, holder, gets = found
        other = clinic_id, holder.booking_ref
        holders[holders.index(holder)] = holder._replace(portion=gets)
        had_before, given = self._had.get(other, ()), self._given.get(other, ())
        if all(each.product != had.product for each in had_before):
            self._had[other] = (*had_before, holder.portion)
        self._given[other] = (*(each for each in given if each.product != had.product), gets)
        self._swapped.add(other)
        return (portion,)

    def number(self, key: Key) -> int:
        """Doses that the booking has been given in this batch."""
        return sum(portion.doses for portion in self._given.get(key, ()))

    def give_back(self, key: Key) -> None:
        """The booking is not to have them after all; they were only given in this batch."""
        if key not in self._swapped and (portions := self._given.pop(key, None)):
            self._shelves[key[0]].give_back(portions)

    async def expect_back(self, keys: Collection[Key]) -> None:
        """What these bookings had claimed comes free with this batch: it may be given out again."""
        for (clinic_id, _), portions in (await doses.claims_of(self._conn, keys)).items():
            if clinic_id in self._shelves:
                self._shelves[clinic_id].give_back(portions)

    async def write(self, known: Mapping[Key, Booking], held: Collection[Key]) -> None:
        """Claim what ``held`` bookings were given, and what others were given for what they had."""
        claims = [DoseClaim.of(key, portion) for key in held for portion in self._given.get(key, ())]
        exchanged = [
            DoseClaim.of(key, portion)
            for key in self._swapped
            if key not in known or known[key].known_state.keeps_doses
            for portion in self._given[key]
            if portion not in self._had.get(key, ())
        ]
        if exchanged:
            await doses.exchange(self._conn, [(each.clinic_id, each.booking_ref, each.product) for each in exchanged])
            claims += exchanged
        if claims:
            await doses.claim(self._conn, claims)
