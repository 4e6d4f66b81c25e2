"""What a patient may book at once, and how soon after another appointment. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date, timedelta
from typing import Final

import msgspec

from waiting_room.domain.appointment import Reason
from waiting_room.domain.directory import ServiceType

PENDING_MAX: Final = 5


class PatientClaim(msgspec.Struct, frozen=True, gc=False):
    """One of a patient's bookings; ``place`` while it is pending, ``only_one`` while no other may be beside it."""

    business_id: str
    service_type: str
    day: date
    place: int | None
    only_one: bool


def free_place(claims: Iterable[PatientClaim], pending_max: int) -> int | None:
    """The lowest of the patient's places for pending bookings that is free."""
    taken = {each.place for each in claims}
    return next((place for place in range(pending_max) if place not in taken), None)


def refusal(
    service: ServiceType, business_id: str, claims: Collection[PatientClaim], pending_max: int
) -> Reason | None:
    """Why the patient may not have this service now, whatever the day."""
    if free_place(claims, pending_max) is None:
        return Reason.TOO_MANY_PENDING
    if not service.one_active:
        return None
    active = {(each.business_id, each.service_type) for each in claims if each.only_one}
    return Reason.ALREADY_BOOKED if (business_id, service.service_type) in active else None


def earliest_day(service: ServiceType, business_id: str, claims: Iterable[PatientClaim]) -> date | None:
    """The first day on which the interval since the last dose has passed; None where any day will do."""
    if service.interval_days is None:
        return None
    before = service.interval_after or service.service_type
    days = [each.day for each in claims if (each.business_id, each.service_type) == (business_id, before)]
    return max(days) + timedelta(days=service.interval_days) if days else None


def latest_day(
    service: ServiceType, services: Iterable[ServiceType], business_id: str, claims: Collection[PatientClaim], day: date
) -> date | None:
    """The last day, of those from ``day`` on, that leaves its interval to what follows this service and the patient has
    already; None where any day does. What they have before ``day`` follows another appointment.
    """
    intervals = {
        each.service_type: timedelta(days=each.interval_days)
        for each in services
        if each.interval_days is not None and each.interval_after == service.service_type
    }
    last = [
        each.day - intervals[each.service_type]
        for each in claims
        if each.business_id == business_id and each.service_type in intervals and each.day >= day
    ]
    return min(last, default=None)


Days = tuple[date, date]
"""From the one to the other, both included."""


def days_apart(
    service: ServiceType,
    services: Iterable[ServiceType],
    business_id: str,
    claims: Iterable[PatientClaim],
    was: date,
    days: Days,
) -> list[Days]:
    """Those of ``days`` on which an appointment for this service that was to be on ``was`` keeps every interval to what
    else its patient has, as when it is booked. What follows it and lies before ``was`` follows another.
    """
    before = service.interval_after or service.service_type
    follow = {
        each.service_type: each.interval_days
        for each in services
        if each.interval_after == service.service_type != each.service_type
    }
    left = [days]
    for each in claims:
        if each.business_id != business_id:
            continue
        if service.interval_days is not None and each.service_type == before:
            gap = timedelta(days=service.interval_days - 1)
            since = each.day - gap if before == service.service_type else date.min
            left = [part for span in left for part in _without(span, since, each.day + gap)]
        if (interval_days := follow.get(each.service_type)) is not None and each.day >= was:
            gap = timedelta(days=interval_days - 1)
            left = [part for span in left for part in _without(span, each.day - gap, date.max)]
    return left


def _without(days: Days, first: date, last: date) -> Iterator[Days]:
    """What is left of them before ``first`` and after ``last``."""
    if days[0] < first:
        yield days[0], min(days[1], first - timedelta(days=1))
    if last < days[1]:
        yield max(days[0], last + timedelta(days=1)), days[1]


def is_spaced(service: ServiceType, services: Iterable[ServiceType]) -> bool:
    """Whether days have to pass between an appointment for it and another, whichever comes first."""
    name = service.service_type
    followed = any(each.interval_days and (each.interval_after or each.service_type) == name for each in services)
    return followed or service.interval_days is not None


def lasts(service: ServiceType, services: Iterable[ServiceType]) -> bool:
    """Whether a booking of it says anything about others once it is decided."""
    return service.one_active or is_spaced(service, services)
