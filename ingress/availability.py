"""GET and PUT /v1/providers/{id}/availability: a provider's recurring rules, read and replaced as a whole."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.body import BODY_PROBLEMS, read_as
from ingress.calendar_of import (
    ETAG,
    IF_MATCH,
    PROVIDER_ID,
    PROVIDERS,
    Unfit,
    clinic_calendar,
    etag,
    require_version,
    told,
    wrong_value,
)
from ingress.operation import Answer, Operation, answering
from ingress.parts import Parts
from ingress.refusal import Refused
from ingress.requests import json_body
from waiting_room.access import Scope
from waiting_room.domain.availability.days_off import is_known
from waiting_room.domain.availability.fit import unfit
from waiting_room.domain.availability.rules import Availability, Break, Holidays, Override, Weekly, mistakes
from waiting_room.domain.directory import Provider
from waiting_room.domain.schedule import availability_of
from waiting_room.store import calendars
from waiting_room.store.pool import Connection


class WeeklyBody(Weekly, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class BreakBody(Break, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class HolidaysBody(Holidays, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class AvailabilityBody(Availability, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules; what is left out is not so any more. ``capacity``, seats side by side, stays as it is without it."""

    weekly: Annotated[tuple[WeeklyBody, ...], Meta(max_length=200)]
    breaks: Annotated[tuple[BreakBody, ...], Meta(max_length=100)] = ()
    holidays: HolidaysBody | None = None
    capacity: Annotated[int, Meta(ge=1, le=1_000)] | None = None


class AvailabilityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The rules in force, those of the onboarding file as version 0, and the bookings that do not fit them."""

    provider_id: str
    version: int
    timezone: str
    capacity: int
    availability: Availability
    overrides: tuple[Override, ...]
    unfit: list[Unfit]


_decode: Final = msgspec.json.Decoder(AvailabilityBody).decode


async def get_availability(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_READ)
    clinic_id, timezone = site.clinic.clinic_id, site.clinic.timezone

    async def run(connection: Connection) -> AvailabilityAnswer:
        return await _answer(connection, clinic_id, await _provider(connection, clinic_id, provider_id), timezone)

    return _told(await parts.reads.run(run))


async def put_availability(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    clinic_id, timezone = site.clinic.clinic_id, site.clinic.timezone
    wanted = read_as(await json_body(request, parts.settings.calendar_body_max_bytes), _decode)
    _require_consistent(wanted)
    rules = Availability(**{name: getattr(wanted, name) for name in Availability.__struct_fields__})

    async def run(connection: Connection) -> AvailabilityAnswer:
        await calendars.lock(connection, clinic_id)
        before = await _provider(connection, clinic_id, provider_id)
        require_version(request, before.availability_version)
        await calendars.put_availability(connection, provider_id, rules, wanted.capacity)
        await calendars.publish(connection, clinic_id)
        return await _answer(connection, clinic_id, await _provider(connection, clinic_id, provider_id), timezone)

    return _told(await parts.writes.run(run))


def _require_consistent(wanted: AvailabilityBody) -> None:
    """Raises Refused (422), for the first contradiction."""
    for pointer, detail in mistakes(wanted):
        raise wrong_value(pointer, f"{detail[0].upper()}{detail[1:]}.")
    if wanted.holidays is not None and not is_known(wanted.holidays):
        raise wrong_value("/holidays", "The holidays of that country or region are not known.")


async def _provider(connection: Connection, clinic_id: str, provider_id: str) -> Provider:
    found = await calendars.provider(connection, clinic_id, provider_id)
    if found is None:
        raise Refused(problems.NOT_FOUND, "There is no such provider.")
    return found


async def _answer(connection: Connection, clinic_id: str, provider: Provider, timezone: str) -> AvailabilityAnswer:
    now = await calendars.now(connection)
    booked = await calendars.booked(connection, clinic_id, provider.provider_id, now)
    busy = await calendars.busy(connection, provider.provider_id, now)
    return AvailabilityAnswer(
        provider_id=provider.provider_id,
        version=provider.availability_version,
        timezone=timezone,
        capacity=provider.capacity,
        availability=availability_of(provider),
        overrides=provider.overrides,
        unfit=told(unfit(provider, timezone, booked, busy)),
    )


def _told(answer: AvailabilityAnswer) -> Response:
    return json_answer(answer, headers={"ETag": etag(answer.version)})


PATH: Final = f"{PROVIDERS}/{{id}}/availability"
GET_AVAILABILITY: Final = Operation(
    name="availability",
    method="GET",
    path=PATH,
    summary="Read a provider's rules",
    endpoint=answering(get_availability),
    parameters=(PROVIDER_ID,),
    answers=(
        Answer(
            status=200,
            description="The rules in force, and the bookings that do not fit them.",
            body=AvailabilityAnswer,
            headers=ETAG,
            always=("ETag",),
        ),
    ),
    problems=(problems.NOT_FOUND, problems.READS_AWAY),
)
PUT_AVAILABILITY: Final = Operation(
    name="put_availability",
    method="PUT",
    path=PATH,
    summary="Replace a provider's rules",
    endpoint=answering(put_availability),
    parameters=(PROVIDER_ID, IF_MATCH),
    body=AvailabilityBody,
    answers=(
        Answer(
            status=200,
            description="Replaced: from now on no booking is made under the rules before. None was dropped either.",
            body=AvailabilityAnswer,
            headers=ETAG,
            always=("ETag",),
        ),
    ),
    problems=(
        *BODY_PROBLEMS,
        problems.BAD_HEADER,
        problems.IF_MATCH_MISSING,
        problems.CHANGED_MEANWHILE,
        problems.NOT_FOUND,
        problems.NOT_CHANGED,
    ),
)
