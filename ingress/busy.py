"""/v1/providers/{id}/busy: what the clinic's own system says is taken, by API or as an iCalendar file.

Each source replaces what it said before; single entries come and go as bookings are made and cancelled by phone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ingress import ics_reader, problems
from ingress.answers import json_answer
from ingress.body import BODY_PROBLEMS, Instant, read_as
from ingress.calendar_of import (
    ENTRY_PATTERN,
    PROVIDER_ID,
    PROVIDERS,
    EntryId,
    Unfit,
    clinic_calendar,
    entry_of,
    span_of,
    told,
    wrong_value,
)
from ingress.directory import Site
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.pages import one
from ingress.parts import Parts
from ingress.refusal import Refused, wrong_header, wrong_parameter
from ingress.requests import body, json_body
from waiting_room.access import Scope
from waiting_room.domain import busy_feeds, clinic_changes
from waiting_room.domain.availability.fit import Busy, unfit
from waiting_room.ics import ENTRIES_MAX, OURS, Job
from waiting_room.store import calendars
from waiting_room.store.pool import Connection

SOURCE: Final = "api"
RESERVED: Final = frozenset({busy_feeds.SOURCE, clinic_changes.SOURCE})
"""What we read of a clinic's calendar and of its system ourselves: nobody else tells it, or takes it back."""
Seats = Annotated[int, Meta(ge=1, le=1_000)]


class BusyBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_at": "from", "to_at": "to"}
):
    """One busy time; of all the provider's seats where ``seats`` does not say how many."""

    from_at: Instant
    to_at: Instant
    seats: Seats | None = None


class BusyEntry(BusyBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``busy_id`` is the source's own name for it. Bookings of ours that are told back are left out."""

    busy_id: EntryId


class BusyListBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a source says."""

    busy: Annotated[tuple[BusyEntry, ...], Meta(max_length=ENTRIES_MAX)]


class BusyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many busy times the source has now, and all bookings of the provider that do not fit its calendar."""

    source: str
    count: int
    unfit: list[Unfit]


class BusyList(msgspec.Struct, frozen=True, kw_only=True):
    """Those that are not over, of all sources, by time."""

    busy: list[Busy]


_decode_list: Final = msgspec.json.Decoder(BusyListBody).decode
_decode_one: Final = msgspec.json.Decoder(BusyBody).decode


async def list_busy(parts: Parts, request: Request) -> Response:
    provider_id, _ = clinic_calendar(parts, request, Scope.CLINIC_READ)

    async def run(connection: Connection) -> list[Busy]:
        return await calendars.busy(connection, provider_id, await calendars.now(connection))

    return json_answer(BusyList(busy=await parts.reads.run(run)))


async def put_busy(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    source = _source(request)
    wanted = read_as(await json_body(request, parts.settings.calendar_body_max_bytes), _decode_list)
    times = [
        _busy(source, each.busy_id, each, f"/busy/{at}")
        for at, each in enumerate(wanted.busy)
        if not each.busy_id.endswith(OURS)
    ]
    if len({each.busy_id for each in times}) < len(times):
        raise wrong_value("/busy", "A busy_id is there more than once.")
    return await _replace(parts, site, provider_id, source, times)


async def put_ics(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    source = _source(request)
    headers = dict(request.scope["headers"])
    if headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower() != b"text/calendar":
        fix = "Send iCalendar and say so: text/calendar."
        raise wrong_header("Content-Type", "It does not say text/calendar.", fix, problems.NOT_A_CALENDAR)
    calendar = await body(headers, request.receive, parts.settings.calendar_body_max_bytes)
    now = datetime.now(UTC)
    until = now + timedelta(days=parts.settings.book_ahead_max_days + 1)
    job = Job(calendar, site.clinic.timezone, now - timedelta(days=1), until)
    spans = await ics_reader.read(site.clinic.clinic_id, job)
    times = [Busy(source=source, busy_id=each.busy_id, from_at=each.from_at, to_at=each.to_at) for each in spans]
    return await _replace(parts, site, provider_id, source, list({each.busy_id: each for each in times}.values()))


async def put_one(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    wanted = read_as(await json_body(request, parts.settings.calendar_body_max_bytes), _decode_one)
    busy = _busy(_source(request), entry_of(request, "busy_id"), wanted, "")

    async def run(connection: Connection) -> BusyAnswer:
        now = await calendars.lock(connection, site.clinic.clinic_id)
        if len(await calendars.busy(connection, provider_id, now)) >= ENTRIES_MAX:
            raise Refused(problems.TOO_MANY_ENTRIES, f"A provider may have {ENTRIES_MAX} busy times.")
        await calendars.put_busy(connection, site.clinic.clinic_id, provider_id, [busy])
        return await _answer(connection, site, provider_id, busy.source, now)

    return json_answer(await parts.writes.run(run))


async def delete_one(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    source, busy_id = _source(request), entry_of(request, "busy_id")

    async def run(connection: Connection) -> None:
        await calendars.lock(connection, site.clinic.clinic_id)
        if not await calendars.delete_busy(connection, site.clinic.clinic_id, provider_id, source, busy_id):
            raise Refused(problems.UNKNOWN_ENTRY, f"There is no such busy time of the source {source}.")

    await parts.writes.run(run)
    return Response(status_code=204)


async def _replace(parts: Parts, site: Site, provider_id: str, source: str, times: list[Busy]) -> Response:
    async def run(connection: Connection) -> BusyAnswer:
        now = await calendars.lock(connection, site.clinic.clinic_id)
        await calendars.replace_busy(connection, site.clinic.clinic_id, provider_id, source, times)
        return await _answer(connection, site, provider_id, source, now)

    return json_answer(await parts.writes.run(run))


async def _answer(connection: Connection, site: Site, provider_id: str, source: str, now: datetime) -> BusyAnswer:
    provider = await calendars.provider(connection, site.clinic.clinic_id, provider_id)
    if provider is None:
        raise Refused(problems.NOT_FOUND, "There is no such provider.")
    booked = await calendars.booked(connection, site.clinic.clinic_id, provider_id, now)
    busy = await calendars.busy(connection, provider_id, now)
    return BusyAnswer(
        source=source,
        count=sum(each.source == source for each in busy),
        unfit=told(unfit(provider, site.clinic.timezone, booked, busy)),
    )


def _source(request: Request) -> str:
    """Raises Refused (400)."""
    source = one(request.query_params, "source")
    if source is None:
        return SOURCE
    try:
        name = msgspec.convert(source, EntryId)
    except msgspec.ValidationError as error:
        detail = "A source's name is 1 to 128 letters, digits and . _ ~ @ -"
        raise wrong_parameter("source", detail, "Choose another name.", problems.BAD_PARAMETER) from error
    if name in RESERVED:
        detail = "What this source says is read by ourselves."
        raise wrong_parameter("source", detail, "Choose another name.", problems.BAD_PARAMETER)
    return name


def _busy(source: str, busy_id: str, wanted: BusyBody, pointer: str) -> Busy:
    """Raises Refused (422)."""
    from_at, to_at = span_of(wanted.from_at, wanted.to_at, pointer)
    return Busy(source=source, busy_id=busy_id, from_at=from_at, to_at=to_at, seats=wanted.seats)


PATH: Final = f"{PROVIDERS}/{{id}}/busy"
_SOURCE: Final = Parameter(
    name="source",
    where="query",
    schema={"type": "string", "pattern": ENTRY_PATTERN, "default": SOURCE, "not": {"enum": sorted(RESERVED)}},
    description="Who tells: a source replaces what it said, and nothing that another did.",
)
_ID: Final = Parameter(
    name="busy_id",
    where="path",
    schema={"type": "string", "pattern": ENTRY_PATTERN},
    description="The source's own name for it.",
    required=True,
)
_REPLACED: Final = Answer(status=200, description="Taken over. No booking was dropped.", body=BusyAnswer)
LIST_BUSY: Final = Operation(
    name="busy",
    method="GET",
    path=PATH,
    summary="List what a clinic's system says is busy",
    endpoint=answering(list_busy),
    parameters=(PROVIDER_ID,),
    answers=(Answer(status=200, description="Those not over.", body=BusyList),),
    problems=(problems.NOT_FOUND, problems.READS_AWAY),
)
PUT_BUSY: Final = Operation(
    name="put_busy",
    method="PUT",
    path=PATH,
    summary="Replace all busy times of a source",
    endpoint=answering(put_busy),
    parameters=(PROVIDER_ID, _SOURCE),
    body=BusyListBody,
    answers=(_REPLACED,),
    problems=(*BODY_PROBLEMS, problems.BAD_PARAMETER, problems.NOT_FOUND, problems.NOT_CHANGED),
)
PUT_ICS: Final = Operation(
    name="put_busy_ics",
    method="PUT",
    path=f"{PROVIDERS}/{{id}}/busy.ics",
    summary="Replace all busy times of a source by an iCalendar file",
    endpoint=answering(put_ics),
    parameters=(PROVIDER_ID, _SOURCE),
    body=STRING,
    body_media_type="text/calendar",
    answers=(_REPLACED,),
    problems=(
        problems.BODY_TOO_LARGE,
        problems.NOT_A_CALENDAR,
        problems.UNREADABLE_CALENDAR,
        problems.BAD_PARAMETER,
        problems.NOT_FOUND,
        problems.NOT_CHANGED,
    ),
)
PUT_ONE_BUSY: Final = Operation(
    name="put_one_busy",
    method="PUT",
    path=f"{PATH}/{{busy_id}}",
    summary="Say that a time is busy",
    endpoint=answering(put_one),
    parameters=(PROVIDER_ID, _ID, _SOURCE),
    body=BusyBody,
    answers=(_REPLACED,),
    problems=(
        *BODY_PROBLEMS,
        problems.BAD_PARAMETER,
        problems.NOT_FOUND,
        problems.UNKNOWN_ENTRY,
        problems.TOO_MANY_ENTRIES,
        problems.NOT_CHANGED,
    ),
)
DELETE_ONE_BUSY: Final = Operation(
    name="delete_one_busy",
    method="DELETE",
    path=f"{PATH}/{{busy_id}}",
    summary="Say that a time is busy no longer",
    endpoint=answering(delete_one),
    parameters=(PROVIDER_ID, _ID, _SOURCE),
    answers=(Answer(status=204, description="Gone.", media_type=""),),
    problems=(problems.BAD_PARAMETER, problems.NOT_FOUND, problems.UNKNOWN_ENTRY, problems.NOT_CHANGED),
)
