"""Offers seats that came free to those who wait for them, and takes their answers.

Everything here runs inside the transaction that frees a seat, under its clinic's lock: whoever looks next finds it
either claimed for who was offered it, or free because it fits nobody who waits. A seat is offered to one at a time, or,
where the service says so, to all whom it fits: then the first of them has the claim for all, and whoever accepts first
has the seat. Where nobody waits none of this costs anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from waiting_room.domain import eligibility
from waiting_room.domain.appointment import By, EventType, Reason, Stage
from waiting_room.domain.deadlines import Deadlines
from waiting_room.domain.directory import ClinicStatus
from waiting_room.domain.schedule import offers
from waiting_room.domain.seats import Candidate
from waiting_room.domain.waitlist import Ended, Freed
from waiting_room.messages import OfferTold
from waiting_room.store import doses, holds, waitlist
from waiting_room.store.doses import DoseClaim
from waiting_room.store.giving import LOOKED_AT_MAX, PAGE, Giving
from waiting_room.store.holds import Claim, Rules, Window
from waiting_room.store.waitlist import Group, Key, Offer

if TYPE_CHECKING:
    from waiting_room.store.booking import Booking
    from waiting_room.store.journal import Journal

AHEAD: Final = timedelta(days=731)
"""Nobody waits for a time further off."""


async def give(journal: Journal, rules: Mapping[str, Rules] | None = None) -> None:
    """Offer what came free since the last time, as far as anybody waits for it. ``rules``: if they are known here.

    Who was asked and waits again may have missed what came free meanwhile: what is free is looked through for them.
    A clinic that takes no bookings offers nothing.
    """
    groups, journal.groups = journal.groups, set()
    if groups:
        await _pass_on(journal, groups)
    freed, journal.freed = journal.freed, []
    again, journal.waits_again = journal.waits_again, []
    by_clinic: dict[str, list[Freed]] = defaultdict(list)
    for clinic_id, each in freed:
        if journal.counters[clinic_id].waiting and each.to_at > journal.now:
            by_clinic[clinic_id].append(each)
    refs: dict[str, list[str]] = defaultdict(list)
    for clinic_id, booking_ref in again:
        refs[clinic_id].append(booking_ref)
    if not (by_clinic or refs):
        return
    known = await holds.load_rules(journal.conn, {*by_clinic, *refs}) if rules is None else rules
    taking = {clinic_id for clinic_id in (*by_clinic, *refs) if known[clinic_id].status is not ClinicStatus.CLOSED}
    for clinic_id in sorted(taking & by_clinic.keys()):
        await _give(journal, known[clinic_id], by_clinic[clinic_id])
    for clinic_id in sorted(taking & refs.keys()):
        await _look(journal, known[clinic_id], refs[clinic_id])


async def _give(journal: Journal, rules: Rules, freed: Sequence[Freed]) -> None:
    giving = await Giving.open(journal, rules, freed)
    after_ticket = 0
    for _ in range(LOOKED_AT_MAX // PAGE):
        page = await giving.waiting(after_ticket, PAGE)
        await giving.consider(page)
        if len(page) < PAGE:
            break
        after_ticket = page[-1].waiter.ticket
    await giving.write()


async def look(journal: Journal, clinic_id: str) -> None:
    """Offer anything that is free by now, to those who have waited longest first.

    For what comes free without anybody giving it up: other hours, another capacity, new stock.
    """
    rules = (await holds.load_rules(journal.conn, [clinic_id]))[clinic_id]
    if rules.status is not ClinicStatus.CLOSED:
        await _look(journal, rules, None)


async def _look(journal: Journal, rules: Rules, only: Sequence[str] | None) -> None:
    """``only``: whether there is anything for these; if there is, it may be somebody's who has waited longer."""
    ever, providers = (journal.now, journal.now + AHEAD), list(rules.providers)
    after_ticket = 0
    while True:
        page = await waitlist.waiting(journal.conn, rules.clinic_id, after_ticket, ever, providers, LOOKED_AT_MAX, only)
        if not page:
            return
        from_at = max(journal.now, min(each.waiter.from_at for each in page))
        to_at = max(each.waiter.to_at for each in page)
        giving = await Giving.open(journal, rules, [Freed(each, from_at, to_at) for each in providers])
        giving.narrow(page)
        await giving.consider(page)
        if only is None:
            await giving.write()
        elif giving.gifts:
            await _look(journal, rules, None)
            return
        if len(page) < LOOKED_AT_MAX:
            return
        after_ticket = page[-1].waiter.ticket


async def accept(journal: Journal, offer: Offer, deadlines: Deadlines) -> Ended:
    """What comes of it: accepted, and the booking goes on as held, or what had come of it before."""
    if offer.outcome is not None:
        return offer.outcome
    together = await waitlist.open_in_groups(journal.conn, [(offer.clinic_id, offer.group_id)])
    bookings = await journal.load([each.key for each in together])
    booking = bookings[offer.key]
    if journal.now >= offer.expires_at:
        journal.record(booking, EventType.OFFER_EXPIRED)
        await journal.write()
        return Ended.EXPIRED
    for other in bookings.values():
        if other is not booking:
            journal.record(other, EventType.OFFER_LOST)
    invited = booking.known_state.stage is Stage.INVITED
    if invited:
        await journal.write(give=False)  # whoever had the claim for all has it no more
    rules = (await holds.load_rules(journal.conn, [offer.clinic_id]))[offer.clinic_id]
    if not (
        _still_offers(offer, booking, rules)
        and await _has_room(journal, offer, rules)
        and await _has_doses(journal, booking, rules)
    ):
        journal.record(booking, EventType.OFFER_LOST)
        await journal.write()
        return Ended.LOST
    if invited:
        booking.seat = offer.seat
        await holds.claim_seats(journal.conn, [_claim(offer, booking)])
    booking.held_at = booking.offer_accepted_at = journal.now
    booking.hold_until = deadlines.hold_until(journal.now, offer.start_at)
    booking.decide_by = deadlines.decide_by(journal.now, offer.start_at)
    journal.record(booking, EventType.OFFER_ACCEPTED)
    follows = eligibility.first_event(rules.service_types[booking.service_type or ""].eligibility, rules.adapter)
    if follows is not None:
        journal.record(booking, follows)
    await journal.write()
    return Ended.ACCEPTED


async def decline(journal: Journal, offer: Offer) -> Ended:
    """What came of it. The seat is the next one's, and who had it goes on waiting."""
    if offer.outcome is not None:
        return offer.outcome
    booking = (await journal.load([offer.key]))[offer.key]
    late = journal.now >= offer.expires_at
    journal.record(booking, EventType.OFFER_EXPIRED if late else EventType.OFFER_DECLINED)
    await journal.write()
    return Ended.EXPIRED if late else Ended.DECLINED


async def lapse(journal: Journal, keys: Sequence[Key]) -> list[Booking]:
    """End the offers of these bookings that were not answered in time; whose did end."""
    expired = await waitlist.still_expired(journal.conn, keys, journal.now)
    bookings = list((await journal.load(expired)).values()) if expired else []
    for booking in bookings:
        journal.record(booking, EventType.OFFER_EXPIRED)
    await journal.write()
    return bookings


async def end_waits(journal: Journal, keys: Sequence[Key]) -> list[Booking]:
    """Reject those of these bookings that still wait for a time that has passed; which they were."""
    bookings = [each for each in (await journal.load(keys)).values() if each.known_state.stage is Stage.WAITING]
    for booking in bookings:
        journal.record(booking, EventType.REJECTED, reason=Reason.NO_FREE_SLOT, by=By.SERVICE)
    await journal.write()
    return bookings


async def end_in_vain(journal: Journal, keys: Sequence[Key]) -> list[Booking]:
    """Reject those of these bookings of one clinic that wait for what nobody offers there any more; which they were."""
    refs = [booking_ref for _, booking_ref in keys]
    still = await waitlist.unoffered(journal.conn, keys[0][0], len(refs), refs)
    bookings = list((await journal.load(still)).values()) if still else []
    for booking in bookings:
        journal.record(booking, EventType.REJECTED, reason=Reason.NOT_BOOKABLE, by=By.SERVICE)
    await journal.write()
    return bookings


async def _pass_on(journal: Journal, groups: Iterable[Group]) -> None:
    """Where the one who had the claim for all is out, the next of them has it."""
    rest = await waitlist.open_in_groups(journal.conn, sorted(groups))
    if not rest:
        return
    bookings = await journal.load([each.key for each in rest])
    rules = await holds.load_rules(journal.conn, {each.clinic_id for each in rest})
    for _, group in groupby(rest, key=lambda each: (each.clinic_id, each.group_id)):
        left = [(each, bookings[each.key]) for each in group]
        if any(booking.known_state.stage is Stage.OFFERED for _, booking in left):
            continue
        for offer, booking in left:
            if journal.now >= offer.expires_at:
                journal.record(booking, EventType.OFFER_EXPIRED)
            elif not await _has_doses(journal, booking, rules[offer.clinic_id]):
                journal.record(booking, EventType.OFFER_LOST)
            else:
                booking.seat = offer.seat
                booking.offer = OfferTold(offer_id=offer.offer_id, expires_at=offer.expires_at, to_all=True)
                await holds.claim_seats(journal.conn, [_claim(offer, booking)])
                journal.record(booking, EventType.OFFERED)
                break
    await journal.write(give=False)
    journal.groups = set()


def _still_offers(offer: Offer, booking: Booking, rules: Rules) -> bool:
    """Whether its clinic works then, and its provider does that; either may have changed since."""
    provider, service = rules.providers.get(offer.provider_id), rules.service_types.get(booking.service_type or "")
    if provider is None or service is None or rules.status is ClinicStatus.CLOSED:
        return False
    if service.service_type not in provider.service_types:
        return False
    return offers(provider, service, rules.timezone, offer.start_at)


async def _has_room(journal: Journal, offer: Offer, rules: Rules) -> bool:
    """Whether its clinic has not given the time away itself meanwhile, by phone, and has seats enough for it."""
    taken = await holds.taken(
        journal.conn, [Window(offer.clinic_id, offer.provider_id, offer.start_at, offer.busy_until)]
    )
    taken.free(offer.provider_id, offer.seat, offer.start_at)
    capacity = rules.providers[offer.provider_id].capacity
    at = Candidate(offer.provider_id, capacity, offer.start_at, offer.end_at, offer.busy_until)
    return taken.first_free(at) is not None


async def _has_doses(journal: Journal, booking: Booking, rules: Rules) -> bool:
    """Whether the booking has all that its appointment consumes, and nothing else: what it had not, it claims now."""
    service = rules.service_types.get(booking.service_type or "")
    if service is None or booking.start_at is None:
        return False
    if not (service.consumes or booking.doses):
        return True
    had = (await doses.claims_of(journal.conn, [booking.key])).get(booking.key, ())
    there = {(portion.product, portion.doses, portion.asked_pool) for portion in had}
    if there - {(each.product, each.doses, each.pool) for each in service.consumes}:
        await doses.settle(journal.conn, [(*booking.key, False)])  # the service has taken something else since
        had, there, booking.doses = (), set(), 0
    missing = [each for each in service.consumes if (each.product, each.doses, each.pool) not in there]
    if not missing:
        return True
    shelves = await doses.shelves(journal.conn, [(booking.clinic_id, each.product) for each in missing])
    day = booking.start_at.astimezone(ZoneInfo(rules.timezone)).date()
    portions = shelves[booking.clinic_id].take(missing, day)
    if portions is None:
        return False
    claims = [
        DoseClaim(*booking.key, each.product, each.pool, each.lot, each.doses, each.asked_pool) for each in portions
    ]
    await doses.claim(journal.conn, claims)
    booking.doses = sum(each.doses for each in (*had, *portions))
    return True


def _claim(offer: Offer, booking: Booking) -> Claim:
    """At the revision that the booking has: it stays the same when it takes over or accepts."""
    return Claim(
        *(offer.clinic_id, offer.provider_id, offer.seat, offer.start_at, offer.busy_until, offer.booking_ref),
        booking.known_state.revision,
    )
