"""Who waits for a seat and what is offered to whom: pure.

Those who wait at a clinic have tickets, given in the order in which they asked. A seat that comes free goes to the
lowest ticket that it fits; who has said no to a time at a provider, or nothing, is not asked about that one again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from waiting_room.domain.candidates import Spans, candidates
from waiting_room.domain.directory import Provider, ServiceType
from waiting_room.domain.quiet_hours import QuietHours
from waiting_room.domain.schedule import busy_for
from waiting_room.domain.seats import Candidate, Seat, Taken, allot

NIGHT: Final = QuietHours(time(21), time(8))
"""On the clinic's clock; the time to answer begins to pass when it ends."""
BEFORE_THE_START: Final = timedelta(hours=1)
"""So long before the appointment an answer is due at the latest, if that leaves any time to answer."""
_AN_INSTANT: Final = timedelta(microseconds=1)


class Ended(StrEnum):
    """What came of an offer."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    LOST = "lost"
    """Another who was invited was faster, or the dose is gone."""
    WITHDRAWN = "withdrawn"
    """Who had it waits no more."""


class Waiter(NamedTuple):
    """A booking that waits, for a start in [from_at, to_at) at one provider or at any (None)."""

    booking_ref: str
    ticket: int
    service_type: str
    provider_id: str | None
    from_at: datetime
    to_at: datetime

    @property
    def wish(self) -> tuple[str, str | None, datetime, datetime]:
        return self[2:]


class Freed(NamedTuple):
    """A time at a provider in which a seat may have come free, half-open."""

    provider_id: str
    from_at: datetime
    to_at: datetime


Refused = Collection[tuple[str, datetime]]
"""(provider_id, start_at) that somebody did not take."""


class Offering(NamedTuple):
    """A service at a clinic, as it may be booked at ``now``: ``spans`` bound the starts."""

    service: ServiceType
    providers: Mapping[str, Provider]
    timezone: str
    spans: Spans
    now: datetime


def first_fit(
    waiter: Waiter, offering: Offering, freed: Iterable[Freed], taken: Taken, refused: Refused = ()
) -> Seat | None:
    """The earliest seat in what came free that fits the wish; ``taken`` grows by it."""
    possible = _candidates(waiter, offering, freed)
    return allot((each for each in possible if (each.provider_id, each.start_at) not in refused), taken)


def fits(waiter: Waiter, service_type: str, at: Candidate, refused: Refused = ()) -> bool:
    """Whether this very time would do for who waits."""
    return (
        waiter.service_type == service_type
        and waiter.provider_id in (None, at.provider_id)
        and waiter.from_at <= at.start_at < waiter.to_at
        and (at.provider_id, at.start_at) not in refused
    )


def _candidates(waiter: Waiter, offering: Offering, freed: Iterable[Freed]) -> Iterator[Candidate]:
    """Those that a free seat then is of use to: they overlap with when it is free."""
    for time_freed in freed:
        provider = offering.providers.get(time_freed.provider_id)
        if provider is None or waiter.provider_id not in (None, provider.provider_id):
            continue
        earliest = time_freed.from_at - busy_for(provider, offering.service) + _AN_INSTANT
        from_at = max(waiter.from_at, earliest, offering.now + _AN_INSTANT)
        to_at = min(waiter.to_at, time_freed.to_at)
        if from_at < to_at:
            yield from candidates((provider,), offering.service, offering.timezone, from_at, to_at, offering.spans)


def free_times(offering: Offering, freed: Iterable[Freed], taken: Taken) -> list[Freed]:
    """What of these times this service could really be given in; what follows each other at a provider as one."""
    found: list[Freed] = []
    for time_freed in freed:
        provider = offering.providers.get(time_freed.provider_id)
        if provider is None:
            continue
        span = max(time_freed.from_at, offering.now + _AN_INSTANT), time_freed.to_at
        for each in candidates((provider,), offering.service, offering.timezone, *span, offering.spans):
            if next(taken.free_seats(each), None) is None:
                continue
            begins = each.start_at
            if found and found[-1].provider_id == each.provider_id and found[-1].to_at >= begins:
                begins = found.pop().from_at
            found.append(Freed(each.provider_id, begins, each.busy_until))
    return found


def answer_by(now: datetime, start_at: datetime, minutes: int, timezone: str) -> datetime:
    """Until when a seat is held for who was offered it: so many minutes, which do not pass at night.

    An hour before the start it is too late to find somebody else; where less than that is left, half of it is given.
    """
    allowed = timedelta(minutes=minutes)
    night = NIGHT.around(now, ZoneInfo(timezone))
    by_then = min((night.ends_at if night else now) + allowed, start_at - BEFORE_THE_START)
    return max(by_then, now + min(allowed, (start_at - now) / 2))


def offer_id(booking_ref: str, revision: int) -> str:
    """Whose offer it is can be told from its id alone."""
    return f"{booking_ref}.{revision}"
