"""Whether what a caller wants can be booked at all: pure, from the directory and the clock, nobody's calendar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from typing import Final

import msgspec
from msgspec import UNSET

from ingress import problems
from ingress.body import BookingRequest, RescheduleRequest, WantedRange
from ingress.directory import Directory, Site
from ingress.problems import ProblemType
from ingress.refusal import Refused, wrong_field
from waiting_room.domain.appointment import Reason
from waiting_room.domain.candidates import Spans, spans_of, why_not_now
from waiting_room.domain.directory import Provider, ServiceType
from waiting_room.domain.schedule import offers, slot_starts
from waiting_room.messages import TimeRange

RANGE_MAX_DAYS: Final = 31
_NEAREST: Final = 5
_LOOK_AROUND: Final = timedelta(days=14)
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
"""Years outside are past or too far anyway, and cannot all be converted to UTC."""


class Window(msgspec.Struct, frozen=True):
    """Starts lie after ``now`` and not after ``last``."""

    now: datetime
    last: datetime


class Choice(msgspec.Struct, frozen=True):
    """A service at a clinic and the providers, asked for or all, who offer it there."""

    site: Site
    service: ServiceType
    providers: tuple[Provider, ...]
    spans: Spans

    def who_has(self, start_at: datetime) -> list[Provider]:
        timezone = self.site.clinic.timezone
        return [each for each in self.providers if offers(each, self.service, timezone, start_at)]

    def starts(self, from_at: datetime, to_at: datetime) -> Iterator[datetime]:
        """Of one provider after the other, as far as they can be booked now; two may have the same."""
        for provider in self.providers:
            since, until = self.spans.get(provider.provider_id, (from_at, None))
            begins, ends = max(from_at, since), min(to_at, until or to_at)
            yield from slot_starts(provider, self.service, self.site.clinic.timezone, begins, ends)


def where(request: BookingRequest, directory: Directory) -> Site:
    """The clinic that is meant. Raises Refused."""
    if request.provider_id is UNSET:
        if request.clinic_id is UNSET:
            raise _wrong("", "The body names neither a provider nor a clinic.", problems.PROVIDER_OR_CLINIC)
        site = directory.clinic(request.clinic_id)
        if site is None:
            raise _wrong("/clinic_id", f"There is no clinic {request.clinic_id}.", problems.UNKNOWN_CLINIC)
        return site
    site = directory.of_provider(request.provider_id)
    if site is None:
        raise _wrong("/provider_id", f"There is no provider {request.provider_id}.", problems.UNKNOWN_PROVIDER)
    if request.clinic_id is not UNSET and request.clinic_id != site.clinic.clinic_id:
        detail = f"Provider {request.provider_id} is not at clinic {request.clinic_id}."
        raise wrong_field("/clinic_id", detail, "Leave `clinic_id` out, or correct it.", problems.PROVIDER_ELSEWHERE)
    return site


def when(
    request: BookingRequest, site: Site, now: datetime, ahead_max_days: int
) -> tuple[datetime | None, TimeRange | None]:
    """The start or the range that is asked for (UTC), if the clinic could ever give it. Raises Refused."""
    return _time(request, _choice(request, site, now), Window(now, now + timedelta(days=ahead_max_days)))


def moved_to(
    request: RescheduleRequest, site: Site, now: datetime, ahead_max_days: int
) -> tuple[datetime | None, TimeRange | None]:
    """As ``when``, for a booking whose service is not known here. Raises Refused."""
    if request.provider_id is not UNSET and request.provider_id not in site.providers:
        detail = f"Provider {request.provider_id} is not at clinic {site.clinic.clinic_id}, which the booking is at."
        fix = f"Choose one of /v1/clinics/{site.clinic.clinic_id}/providers, or leave `provider_id` out."
        raise wrong_field("/provider_id", detail, fix, problems.PROVIDER_ELSEWHERE)
    if not site.open:
        raise Refused(problems.CLINIC_CLOSED, f"{site.clinic.name} is closed for bookings at present.")
    return _time(request, None, Window(now, now + timedelta(days=ahead_max_days)))


def _time(
    request: BookingRequest | RescheduleRequest, choice: Choice | None, window: Window
) -> tuple[datetime | None, TimeRange | None]:
    if request.start_at is not UNSET and request.range is UNSET:
        return _start(_utc(request.start_at, "/start_at"), choice, window), None
    if request.range is not UNSET and request.start_at is UNSET:
        return None, _range(request.range, choice, window)
    both = request.start_at is not UNSET
    detail = "The body has both start_at and range." if both else "The body has neither start_at nor range."
    raise _wrong("", detail, problems.START_OR_RANGE)


def _choice(request: BookingRequest, site: Site, now: datetime) -> Choice:
    service = site.services.get(request.service_type)
    if service is None:
        detail = f"Clinic {site.clinic.clinic_id} has no service {request.service_type}."
        raise _wrong("/service_type", detail, problems.UNKNOWN_SERVICE)
    providers = site.offering.get(request.service_type, ())
    if request.provider_id is not UNSET:
        provider = site.providers[request.provider_id]
        providers = (provider,) if request.service_type in provider.service_types else ()
    if not providers:
        raise _wrong("/service_type", f"Nobody asked for offers {request.service_type}.", problems.SERVICE_NOT_OFFERED)
    if not site.open:
        raise Refused(problems.CLINIC_CLOSED, f"{site.clinic.name} is closed for bookings at present.")
    return Choice(site, service, providers, spans_of(providers, site.clinic.timezone, now))


def _start(start_at: datetime, choice: Choice | None, window: Window) -> datetime:
    if start_at <= window.now:
        raise _wrong("/start_at", f"{_text(start_at)} has passed.", problems.START_IN_PAST)
    if start_at > window.last:
        raise _too_far("/start_at", window)
    if choice is None:
        return start_at
    offering = choice.who_has(start_at)
    if not offering:
        raise _not_offered("/start_at", start_at, choice, window)
    if (why := why_not_now(offering, choice.spans, start_at)) is not None:
        raise _not_now(start_at, why, choice)
    return start_at


def _range(asked: WantedRange, choice: Choice | None, window: Window) -> TimeRange:
    """What of it still lies ahead."""
    from_at, to_at = _utc(asked.from_at, "/range/from"), _utc(asked.to_at, "/range/to")
    if to_at <= from_at:
        raise _wrong("/range", "`to` is not later than `from`.", problems.RANGE_EMPTY)
    if to_at - from_at > timedelta(days=RANGE_MAX_DAYS):
        raise _wrong("/range", f"A range may be {RANGE_MAX_DAYS} days long.", problems.RANGE_TOO_LONG)
    if to_at <= window.now:
        raise _wrong("/range/to", f"{_text(to_at)} has passed.", problems.START_IN_PAST)
    if from_at > window.last:
        raise _too_far("/range/from", window)
    from_at = max(from_at, window.now)
    if choice is not None and next(choice.starts(from_at, to_at), None) is None:
        raise _not_offered("/range", from_at, choice, window)
    return TimeRange(from_at, to_at)


def _utc(at: datetime, pointer: str) -> datetime:
    if at.tzinfo is UTC:
        return at
    if at.year < _FIRST_YEAR:
        raise _wrong(pointer, f"{at.isoformat()} has passed.", problems.START_IN_PAST)
    if at.year > _LAST_YEAR:
        raise _wrong(pointer, f"{at.isoformat()} is too far ahead.", problems.TOO_FAR_AHEAD)
    return at.astimezone(UTC)


def _not_offered(pointer: str, around: datetime, choice: Choice, window: Window) -> Refused:
    """Names the starts that exist nearest to what was asked; whether they are free is another question."""
    from_at, to_at = max(window.now, around - _LOOK_AROUND), min(window.last, around + _LOOK_AROUND)
    nearest = nsmallest(_NEAREST, set(choice.starts(from_at, to_at)), key=lambda start: abs(start - around))
    named = ", ".join(_text(start) for start in sorted(nearest))
    fix = f"Possible starts nearest to it: {named}." if named else "No start is near it; ask for another day."
    detail = f"No {choice.service.service_type} starts then at {choice.site.clinic.name}."
    return wrong_field(pointer, detail, fix, problems.START_NOT_OFFERED)


def _not_now(start_at: datetime, why: Reason, choice: Choice) -> Refused:
    kind = problems.TOO_SHORT_NOTICE if why is Reason.TOO_SHORT_NOTICE else problems.TOO_FAR_AHEAD
    return _wrong("/start_at", f"{choice.site.clinic.name} does not let {_text(start_at)} be booked now.", kind)


def _too_far(pointer: str, window: Window) -> Refused:
    return _wrong(pointer, f"Bookings are taken for starts up to {_text(window.last)}.", problems.TOO_FAR_AHEAD)


def _wrong(pointer: str, detail: str, kind: ProblemType) -> Refused:
    return wrong_field(pointer, detail, kind.next_step, kind)


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
