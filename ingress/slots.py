"""GET /v1/providers/{id}/slots, and the earliest fitting slots across a clinic's or a business's providers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import encode, json_answer
from ingress.body import Instant
from ingress.calendar_of import ETAG, PROVIDER_ID, PROVIDERS, provider_site, unchanged
from ingress.calendars import Ask, Told
from ingress.desk import unknown_site
from ingress.directory import Site
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.pages import cursor_of, limit_of, moment_of, next_page, number_of, one
from ingress.parts import Parts
from ingress.refusal import wrong_parameter, wrong_query
from ingress.wanted import RANGE_MAX_DAYS
from waiting_room.domain.availability.wall import instant
from waiting_room.domain.candidates import within
from waiting_room.domain.directory import ServiceType
from waiting_room.domain.schedule import bookable_span, clinic_days
from waiting_room.domain.slots import Slot, SlotStatus

LIMIT, LIMIT_MAX = 500, 1_000
EARLIEST, EARLIEST_MAX = 1, 50
USUAL_DAYS: Final = 14
_MINUTES_MAX: Final = 1_440
_POSITION: Final[Any] = Instant


class SlotList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the starts that the rules allow and that can be booked now, as they were ``as_of`` or later; ``next``
    is the address of the page after it, null on the last.
    """

    provider_id: str
    clinic_id: str
    timezone: str
    as_of: datetime
    slots: list[Slot]
    next: str | None


class EarliestSlot(msgspec.Struct, frozen=True, kw_only=True):
    clinic_id: str
    provider_id: str
    start_at: datetime
    end_at: datetime
    free_seats: int


class EarliestList(msgspec.Struct, frozen=True, kw_only=True):
    """The earliest free slots, earliest first; none where nothing is free in that time."""

    service: str
    as_of: datetime
    slots: list[EarliestSlot]


class Span(NamedTuple):
    """Half-open, UTC."""

    from_at: datetime
    to_at: datetime


async def provider_slots(parts: Parts, request: Request) -> Response:
    parts.authenticate(dict(request.scope["headers"]))
    provider_id, site = provider_site(parts, request)
    query = request.query_params
    service, span = _service(query, site, provider_id), _span(query, parts.settings.book_ahead_max_days)
    limit, after = limit_of(query, LIMIT, LIMIT_MAX), cursor_of(query, _POSITION)
    clinic_id, timezone = site.clinic.clinic_id, site.clinic.timezone
    first, last = clinic_days(timezone, span.from_at, span.to_at)
    asks = [Ask(clinic_id, provider_id, service, day) for day in _days(first, last)]
    told = await parts.calendars.ask([clinic_id], asks)
    found = list(islice(_bookable(told, clinic_id, provider_id, told.days, span, after), limit + 1))
    asked = {name: value for name in ("from", "to", "service", "duration") if (value := one(query, name)) is not None}
    path = f"{PROVIDERS}/{provider_id}/slots"
    page = found[:limit]
    more = next_page(path, asked, limit, page[-1].start_at) if len(found) > limit else None
    tag = f'W/"{blake2b(encode((page, more)), digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    whose = {"provider_id": provider_id, "clinic_id": clinic_id, "timezone": timezone}
    answer = SlotList(**whose, as_of=told.as_of, slots=page, next=more)
    return json_answer(answer, headers=headers)


async def clinic_earliest(parts: Parts, request: Request) -> Response:
    parts.authenticate(dict(request.scope["headers"]))
    site = parts.directory.clinic(request.path_params["id"])
    if site is None:
        raise unknown_site()
    return await _earliest(parts, request, [site])


async def business_earliest(parts: Parts, request: Request) -> Response:
    parts.authenticate(dict(request.scope["headers"]))
    sites = parts.directory.of_business(request.path_params["id"])
    if not sites:
        raise unknown_site("business")
    return await _earliest(parts, request, sites)


async def _earliest(parts: Parts, request: Request, sites: Sequence[Site]) -> Response:
    """Day after day, until enough of what is free lies before the first day not yet looked at."""
    query = request.query_params
    name = one(query, "service")
    if name is None:
        raise wrong_parameter("service", "It is missing.", "Say which service.", problems.BAD_PARAMETER)
    if not any(name in site.services for site in sites):
        raise wrong_query(problems.UNKNOWN_SERVICE, "service", f"There is no service {name} there.")
    span = _span(query, parts.settings.book_ahead_max_days)
    limit = number_of(query, "limit", EARLIEST_MAX) or EARLIEST
    open_sites = [site for site in sites if site.open and name in site.offering and name in site.services]
    found: list[EarliestSlot] = []
    as_of, behind = datetime.now(UTC), span.from_at
    days = {site.clinic.clinic_id: clinic_days(site.clinic.timezone, *span) for site in open_sites}
    for number in range(RANGE_MAX_DAYS + 2):
        looked_at = [
            (site, first + timedelta(days=number))
            for site in open_sites
            if (first := days[site.clinic.clinic_id][0]) + timedelta(days=number) <= days[site.clinic.clinic_id][1]
        ]
        if not looked_at or sum(each.start_at < behind for each in found) >= limit:
            break
        asks = [
            Ask(site.clinic.clinic_id, provider.provider_id, site.services[name], day)
            for site, day in looked_at
            for provider in site.offering[name]
        ]
        told = await parts.calendars.ask([site.clinic.clinic_id for site, _ in looked_at], asks)
        as_of = told.as_of if number == 0 else min(as_of, told.as_of)
        for ask, slots in zip(asks, told.days, strict=True):
            found += (
                EarliestSlot(
                    clinic_id=ask.clinic_id,
                    provider_id=ask.provider_id,
                    start_at=each.start_at,
                    end_at=each.end_at,
                    free_seats=each.free_seats,
                )
                for each in _bookable(told, ask.clinic_id, ask.provider_id, [slots], span, None)
                if each.status is SlotStatus.FREE
            )
        behind = min(_day_after(site, day) for site, day in looked_at)
    found.sort(key=lambda each: (each.start_at, each.clinic_id, each.provider_id))
    return json_answer(EarliestList(service=name, as_of=as_of, slots=found[:limit]))


def _day_after(site: Site, day: date) -> datetime:
    return instant(day + timedelta(days=1), 0, ZoneInfo(site.clinic.timezone))


def _bookable(
    told: Told,
    clinic_id: str,
    provider_id: str,
    days: Sequence[Sequence[Slot]],
    span: Span,
    after: datetime | None,
) -> Iterator[Slot]:
    """Those in the span, after ``after``, that the provider lets be booked now."""
    rules = told.rules.get(clinic_id)
    provider = rules.providers.get(provider_id) if rules is not None else None
    if rules is None or provider is None:
        return
    allowed = bookable_span(provider, rules.timezone, told.as_of)
    for day in days:
        for slot in day:
            start = slot.start_at
            if span.from_at <= start < span.to_at and within(start, allowed) and (after is None or start > after):
                yield slot


def _service(query: QueryParams, site: Site, provider_id: str) -> ServiceType:
    """What the appointments are to be long. Raises Refused (400, 422)."""
    name, minutes = one(query, "service"), number_of(query, "duration", _MINUTES_MAX)
    if (name is None) == (minutes is None):
        raise wrong_query(problems.SERVICE_OR_DURATION, "service", "Neither or both of service and duration are there.")
    if minutes is not None:
        return ServiceType(service_type="", duration_minutes=minutes)
    service = site.services.get(name or "")
    if service is None:
        raise wrong_query(problems.UNKNOWN_SERVICE, "service", f"Clinic {site.clinic.clinic_id} has no {name}.")
    if name not in site.providers[provider_id].service_types:
        raise wrong_query(problems.SERVICE_NOT_OFFERED, "service", f"{provider_id} does not offer {name}.")
    return service


def _span(query: QueryParams, ahead_max_days: int) -> Span:
    """From now on, and for USUAL_DAYS, unless the query says otherwise. Raises Refused (400, 422)."""
    now = datetime.now(UTC)
    from_at = max(moment_of(query, "from") or now, now)
    to_at = moment_of(query, "to") or from_at + timedelta(days=USUAL_DAYS)
    if to_at <= from_at:
        raise wrong_parameter("to", "Nothing lies before it.", "Send a later time.", problems.RANGE_EMPTY)
    if to_at - from_at > timedelta(days=RANGE_MAX_DAYS):
        detail = f"A range may be {RANGE_MAX_DAYS} days long."
        raise wrong_parameter("to", detail, "Send an earlier time.", problems.RANGE_TOO_LONG)
    return Span(from_at, max(from_at, min(to_at, now + timedelta(days=ahead_max_days))))


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_SERVICE: Final = Parameter(
    name="service", where="query", schema=STRING, description="A service type; its length and buffer count."
)
_FROM: Final = Parameter(name="from", where="query", schema=_TIME, description="Earliest start; now without it.")
_TO: Final = Parameter(
    name="to", where="query", schema=_TIME, description=f"Starts lie before it; {USUAL_DAYS} days later without it."
)


def _at_most(number: int, usual: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": number, "default": usual}
    return Parameter(name="limit", where="query", schema=schema, description="How many at most.")


_SPAN_PROBLEMS: Final = (
    problems.BAD_PARAMETER,
    problems.RANGE_EMPTY,
    problems.RANGE_TOO_LONG,
    problems.UNKNOWN_SERVICE,
    problems.NOT_FOUND,
    problems.READS_AWAY,
)
PROVIDER_SLOTS: Final = Operation(
    name="slots",
    method="GET",
    path=f"{PROVIDERS}/{{id}}/slots",
    summary="A provider's slots, free and busy",
    endpoint=answering(provider_slots),
    parameters=(
        PROVIDER_ID,
        _FROM,
        _TO,
        _SERVICE,
        Parameter(
            name="duration",
            where="query",
            schema={"type": "integer", "minimum": 1, "maximum": _MINUTES_MAX},
            description="Minutes, instead of a service.",
        ),
        _at_most(LIMIT_MAX, LIMIT),
        Parameter(name="cursor", where="query", schema=STRING, description="From `next` of the page before."),
        Parameter(name="If-None-Match", where="header", schema=STRING, description="An `ETag` seen before."),
    ),
    answers=(
        Answer(
            status=200,
            description="One page, by start. No slot that was decided before the request is free in it.",
            body=SlotList,
            headers=ETAG,
            always=("ETag",),
        ),
        Answer(status=304, description="Nothing has changed.", media_type="", headers=ETAG, always=("ETag",)),
    ),
    problems=(
        *_SPAN_PROBLEMS,
        problems.BAD_CURSOR,
        problems.SERVICE_OR_DURATION,
        problems.SERVICE_NOT_OFFERED,
    ),
)


def _earliest_of(name: str, path: str, whose: str, endpoint: Any) -> Operation:
    return Operation(
        name=name,
        method="GET",
        path=path,
        summary=f"The earliest free slots for a service at a {whose}",
        endpoint=answering(endpoint),
        parameters=(
            Parameter(name="id", where="path", schema=STRING, description=f"A {whose}_id.", required=True),
            Parameter(name="service", where="query", schema=STRING, description="A service type.", required=True),
            _FROM,
            _TO,
            _at_most(EARLIEST_MAX, EARLIEST),
        ),
        answers=(Answer(status=200, description="Earliest first, of all providers.", body=EarliestList),),
        problems=_SPAN_PROBLEMS,
    )


CLINIC_SLOTS: Final = _earliest_of("clinic_slots", "/v1/clinics/{id}/slots", "clinic", clinic_earliest)
BUSINESS_SLOTS: Final = _earliest_of("business_slots", "/v1/businesses/{id}/slots", "business", business_earliest)
