"""A clinic closes for a while: who is booked then goes to the next fitting slot, first in line, or is told it is off.

By the time this is worked off the time is blocked, so nobody is booked there any more. The bookings go in the order in
which they were made. Each keeps its ref: it is a move that the clinic asks for, and if the clinic then does not accept
the new time, or there is none, the booking is cancelled. It keeps the days that must lie between it and what else its
patient has, on an earlier day if need be; where no slot does, it goes to the next one all the same. Its doses go along,
of other lots where theirs expire before, if need be of those of somebody who can do with theirs; where there are none,
that is told as the reason. Who was offered a seat then goes on waiting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

import msgspec

from waiting_room.domain.appointment import By, EventType, Reason
from waiting_room.domain.seats import Taken
from waiting_room.messages import Closure, TimeRange
from waiting_room.store import holds, offering, reschedules, waitlist
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection
from workers.hold.reach import Reach
from workers.hold.rescheduling import Rescheduling, Wanted
from workers.hold.wishes import Bookable, bookable

LOOK_AHEAD = timedelta(days=60)
NOTICE = timedelta(days=2)
"""Nobody is moved to an earlier time than this: a day more than the usual notice, one to hear of it and to decline."""
ROUND_MAX = 100
"""Bookings moved in one transaction; what is left is the same command's again."""


@dataclass(slots=True)
class MovedAway:
    """``left``: whether there may be more to move."""

    touched: list[Booking] = field(default_factory=list)
    left: bool = False


async def close(conn: Connection, moves: Rescheduling, closure: Closure) -> MovedAway:
    """Move or cancel up to ROUND_MAX bookings; with the clinic's lock, after everything else of its batch is written.

    ``moves`` is its own: its journal writes what happens here.
    """
    span = (closure.from_at, closure.to_at)
    keys = await reschedules.booked_in(conn, closure.clinic_id, closure.provider_ids, *span, ROUND_MAX)
    bookings = await moves.journal.load(keys)
    affected = sorted(bookings.values(), key=lambda booking: booking.ticket or 0)
    plans = {booking.key: _plan(booking, moves, closure) for booking in affected}
    await moves.recall(conn, bookings)
    await moves.patients.read_apart(affected, moves.rules[closure.clinic_id])
    await moves.doses.read((), affected, for_the_short=True)  # who has a dose comes before who has none
    await moves.doses.read_holders(closure.clinic_id, bookings, (max(span[1], moves.journal.now) + LOOK_AHEAD).date())
    earlier = {each.key: _earlier(each, moves, closure) for each in affected if moves.patients.has_more(each)}
    taken = await taken_around(conn, closure.clinic_id, (*plans.values(), *earlier.values()))
    mark = sha256(f"closure {closure.closure_id}".encode()).digest()
    for booking in affected:
        why_not = moves.move_away(booking, plans[booking.key], taken, mark, or_earlier=earlier.get(booking.key))
        if why_not is not None:
            reason = why_not if why_not is Reason.OUT_OF_STOCK else Reason.PROVIDER
            moves.journal.record(booking, EventType.CANCELLED, reason=reason, by=By.CLINIC)
    offered = await waitlist.offered_in(conn, closure.clinic_id, closure.provider_ids, *span)
    for booking in (await moves.journal.load(offered)).values() if offered else ():
        moves.journal.record(booking, EventType.OFFER_LOST)
    await moves.write(conn)
    await moves.journal.write(give=False)
    if moves.claims:
        await holds.claim_seats(conn, moves.claims)
    await moves.doses.write(bookings, ())
    await offering.give(moves.journal, moves.rules)  # not what is closed, but what somebody had beside it
    return MovedAway(affected, len(keys) == ROUND_MAX)


def _plan(booking: Booking, moves: Rescheduling, closure: Closure) -> Bookable | Reason:
    """With whoever is there from the time that it has on, and with those who are not from when they are again."""
    rules, now = moves.rules[booking.clinic_id], moves.journal.now
    open_at = max(closure.to_at, now)
    others = any(
        booking.service_type in each.service_types and each.provider_id not in closure.provider_ids
        for each in rules.providers.values()
    )
    from_at = max(booking.start_at, now) if others and booking.start_at is not None else open_at
    wanted = Wanted(booking.service_type or "", None, None, TimeRange(from_at, open_at + LOOK_AHEAD))
    plan = bookable(wanted, rules, now)
    if not others or isinstance(plan, Reason):
        return plan
    away = dict(plan.spans)
    for provider_id in closure.provider_ids:
        since, until = away.get(provider_id, (open_at, None))
        away[provider_id] = max(since, open_at), until
    return msgspec.structs.replace(plan, spans=away)


def _earlier(booking: Booking, moves: Rescheduling, closure: Closure) -> Bookable | Reason:
    """Before the time that it has, and with those who were closed before that."""
    if booking.start_at is None:
        return Reason.NOT_BOOKABLE
    from_at = moves.journal.now + NOTICE
    wanted = Wanted(booking.service_type or "", None, None, TimeRange(from_at, booking.start_at))
    plan = bookable(wanted, moves.rules[booking.clinic_id], moves.journal.now)
    if isinstance(plan, Reason):
        return plan
    there = dict(plan.spans)
    for provider_id in closure.provider_ids:
        since, until = there.get(provider_id, (from_at, None))
        there[provider_id] = since, min(until or closure.from_at, closure.from_at)
    return msgspec.structs.replace(plan, spans=there)


async def taken_around(conn: Connection, clinic_id: str, plans: Iterable[Bookable | Reason]) -> Taken:
    """Every claim that could be in the way of these plans."""
    reach = Reach()
    for plan in plans:
        if isinstance(plan, Bookable):
            reach.add(clinic_id, plan.windows())
    return await reach.taken(conn)


def own_journal(journal: Journal) -> Journal:
    """With the same locks and counters, and nothing recorded."""
    return Journal(journal.conn, journal.counters, journal.now)
