"""Seats of one clinic that came free, given to those who wait for one: the first who asked first.

Inside the transaction that frees them, under the clinic's lock. Where a service is offered to all, whoever fits a seat
that was given already and gets none of their own is invited to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from waiting_room.domain.appointment import EventType
from waiting_room.domain.candidates import spans_of
from waiting_room.domain.schedule import busy_for
from waiting_room.domain.seats import Seat, Taken
from waiting_room.domain.stock import Portion, Shelf
from waiting_room.domain.waitlist import Freed, Offering, answer_by, first_fit, fits, free_times, offer_id
from waiting_room.messages import OfferTold
from waiting_room.store import doses, holds, patients, waitlist
from waiting_room.store.doses import DoseClaim
from waiting_room.store.holds import Claim, Rules, Window
from waiting_room.store.waitlist import NewOffer, Waiting

if TYPE_CHECKING:
    from waiting_room.store.booking import Booking
    from waiting_room.store.journal import Journal

PAGE: Final = 200
LOOKED_AT_MAX: Final = 1_000
"""As many who wait are looked at when a seat comes free, and as many at once when sweep looks at all of them."""
INVITED_MAX: Final = 50


@dataclass(slots=True)
class Gift:
    """A seat, and what is consumed on it, for one who waits; ``invited``: who may have it too, if they are faster."""

    to: Waiting
    seat: Seat
    portions: tuple[Portion, ...]
    expires_at: datetime
    to_all: bool
    invited: list[Waiting] = field(default_factory=list)


@dataclass(slots=True)
class Giving:
    """Open one; have it ``consider`` who waits, in the order of their tickets; ``write``."""

    journal: Journal
    rules: Rules
    freed: Sequence[Freed]
    _taken: Taken
    _offerings: dict[str, Offering] = field(default_factory=dict)
    _shelf: Shelf = field(default_factory=Shelf)
    _products: set[str] = field(default_factory=set)
    _in_vain: set[tuple[object, ...]] = field(default_factory=set)
    """Wishes that nothing is free for: nor is it for the next who has the same."""
    gifts: list[Gift] = field(default_factory=list)

    @classmethod
    async def open(cls, journal: Journal, rules: Rules, freed: Iterable[Freed]) -> Giving:
        """With what is taken around these times."""
        ordered = sorted(freed, key=lambda each: (each.from_at, each.provider_id))
        longest = _longest(rules)
        reach: dict[str, tuple[datetime, datetime]] = {}
        for each in ordered:
            from_at, to_at = reach.get(each.provider_id, (each.from_at, each.to_at))
            reach[each.provider_id] = min(from_at, each.from_at), max(to_at, each.to_at)
        windows = [
            Window(rules.clinic_id, provider_id, from_at - longest, to_at + longest)
            for provider_id, (from_at, to_at) in reach.items()
        ]
        return cls(journal, rules, ordered, await holds.taken(journal.conn, windows) if windows else Taken())

    async def waiting(self, after_ticket: int, limit: int) -> list[Waiting]:
        """Who waits for a start that is of these times, in the order of their tickets."""
        reach = self.freed[0].from_at - _longest(self.rules), max(each.to_at for each in self.freed)
        providers = {each.provider_id for each in self.freed}
        return await waitlist.waiting(self.journal.conn, self.rules.clinic_id, after_ticket, reach, providers, limit)

    def narrow(self, page: Iterable[Waiting]) -> None:
        """Where nobody knows what came free: keep what of these times is free for what these wait for. It is looked for
        once a service, and not again for each of them.
        """
        known = (self._offering(name) for name in sorted({each.waiter.service_type for each in page}))
        free = [each for offering in known if offering for each in free_times(offering, self.freed, self._taken)]
        self.freed = sorted(free, key=lambda each: (each.from_at, each.provider_id))

    async def consider(self, page: Sequence[Waiting]) -> None:
        """Give each what fits and is free."""
        await self._read_doses(page)
        for each in page:
            if not self._choose(each):
                self._invite(each)

    async def write(self) -> None:
        """Make the offers."""
        if not self.gifts:
            return
        everybody = [each for gift in self.gifts for each in (gift.to, *gift.invited)]
        bookings = await self.journal.load([(self.rules.clinic_id, each.waiter.booking_ref) for each in everybody])
        offers: list[NewOffer] = []
        claims: list[Claim] = []
        taken: list[DoseClaim] = []
        for gift in self.gifts:
            holder = bookings[self.rules.clinic_id, gift.to.waiter.booking_ref]
            holder.seat, holder.doses = gift.seat.seat, sum(each.doses for each in gift.portions)
            group_id = offer_id(holder.booking_ref, holder.known_state.revision + 1)
            offers.append(self._offer(holder, gift, group_id, EventType.OFFERED))
            claims.append(_claim(holder, gift))
            taken += [DoseClaim.of(holder.key, each) for each in gift.portions]
            for each in gift.invited:
                invited = bookings[self.rules.clinic_id, each.waiter.booking_ref]
                offers.append(self._offer(invited, gift, group_id, EventType.INVITED))
        await self.journal.write(give=False)
        await holds.claim_seats(self.journal.conn, claims)
        if taken:
            await doses.claim(self.journal.conn, taken)
        await patients.moved(self.journal.conn, [(*each.key, each.start_at) for each in bookings.values()])
        await waitlist.add_offers(self.journal.conn, offers)

    def _offering(self, service_type: str) -> Offering | None:
        """None where the clinic has it no more."""
        known = self._offerings.get(service_type)
        service = self.rules.service_types.get(service_type)
        if known is None and service is not None:
            providers = tuple(each for each in self.rules.providers.values() if service_type in each.service_types)
            spans = spans_of(providers, self.rules.timezone, self.journal.now)
            by_id = {each.provider_id: each for each in providers}
            known = Offering(service, by_id, self.rules.timezone, spans, self.journal.now)
            self._offerings[service_type] = known
        return known

    async def _read_doses(self, page: Iterable[Waiting]) -> None:
        services = {each.waiter.service_type for each in page} & self.rules.service_types.keys()
        consumed = {each.product for name in services for each in self.rules.service_types[name].consumes}
        if products := sorted(consumed - self._products):
            self._products |= consumed
            found = await doses.shelves(self.journal.conn, [(self.rules.clinic_id, each) for each in products])
            self._shelf.join(found[self.rules.clinic_id])

    def _choose(self, waiting: Waiting) -> bool:
        """Whether there is a seat of their own for them, with all that is consumed on it."""
        waiter, refused = waiting
        offering = self._offering(waiter.service_type)
        if offering is None or waiter.wish in self._in_vain:
            return False
        seat = first_fit(waiter, offering, self.freed, self._taken, refused)
        portions: tuple[Portion, ...] | None = ()
        if seat is not None and offering.service.consumes:
            day = seat.candidate.start_at.astimezone(ZoneInfo(self.rules.timezone)).date()
            portions = self._shelf.take(offering.service.consumes, day)
            if portions is None:
                self._taken.free(seat.candidate.provider_id, seat.seat, seat.candidate.start_at)
        if seat is None or portions is None:
            if not refused:
                self._in_vain.add(waiter.wish)
            return False
        service, start_at = offering.service, seat.candidate.start_at
        expires_at = answer_by(self.journal.now, start_at, service.offer_minutes, self.rules.timezone)
        self.gifts.append(Gift(waiting, seat, portions, expires_at, service.offer_to_all))
        return True

    def _invite(self, waiting: Waiting) -> None:
        for gift in self.gifts:
            service_type = gift.to.waiter.service_type
            fitting = gift.to_all and fits(waiting.waiter, service_type, gift.seat.candidate, waiting.refused)
            if fitting and len(gift.invited) < INVITED_MAX:
                gift.invited.append(waiting)
                return

    def _offer(self, booking: Booking, gift: Gift, group_id: str, event: EventType) -> NewOffer:
        at, revision = gift.seat.candidate, booking.known_state.revision + 1
        booking.provider_id, booking.start_at, booking.end_at = at.provider_id, at.start_at, at.end_at
        own_id = offer_id(booking.booking_ref, revision)
        booking.offer = OfferTold(offer_id=own_id, expires_at=gift.expires_at, to_all=gift.to_all)
        self.journal.record(booking, event)
        return NewOffer(
            own_id,
            *booking.key,
            revision,
            group_id,
            gift.to_all,
            at.provider_id,
            gift.seat.seat,
            at.start_at,
            at.end_at,
            at.busy_until,
            self.journal.now,
            gift.expires_at,
        )


def _claim(booking: Booking, gift: Gift) -> Claim:
    at, revision = gift.seat.candidate, booking.known_state.revision
    return Claim(
        booking.clinic_id, at.provider_id, gift.seat.seat, at.start_at, at.busy_until, booking.booking_ref, revision
    )


def _longest(rules: Rules) -> timedelta:
    """How long an appointment may keep its seat there."""
    kept = (
        busy_for(provider, rules.service_types[name])
        for provider in rules.providers.values()
        for name in provider.service_types
        if name in rules.service_types
    )
    return max(kept, default=timedelta())
