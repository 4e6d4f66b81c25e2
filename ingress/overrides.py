"""/v1/providers/{id}/overrides: one-off changes of a provider's hours, a block or an extension each."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.body import BODY_PROBLEMS, Instant, read_as
from ingress.calendar_of import (
    ENTRY_PATTERN,
    PROVIDER_ID,
    PROVIDERS,
    Unfit,
    clinic_calendar,
    entry_of,
    span_of,
    told,
    wrong_value,
)
from ingress.operation import Answer, Operation, Parameter, answering
from ingress.parts import Parts
from ingress.refusal import Refused
from ingress.requests import json_body
from waiting_room.access import Scope
from waiting_room.domain.availability.fit import unfit
from waiting_room.domain.availability.rules import Minutes, Override, OverrideKind
from waiting_room.store import calendars
from waiting_room.store.pool import Connection

OVERRIDES_MAX: Final = 200
"""A provider's that are not over: all of them travel with the clinic's record."""

LONGEST: Final = timedelta(days=366)


class OverrideBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_at": "from", "to_at": "to"}
):
    """``slot_minutes`` goes with an extension: from one start to the next."""

    kind: OverrideKind
    from_at: Instant
    to_at: Instant
    slot_minutes: Minutes | None = None


class OverrideAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The override, and all bookings of the provider that do not fit its calendar now."""

    override: Override
    unfit: list[Unfit]


class OverrideList(msgspec.Struct, frozen=True, kw_only=True):
    """Those that are not over, by time."""

    overrides: list[Override]


_decode: Final = msgspec.json.Decoder(OverrideBody).decode


async def list_overrides(parts: Parts, request: Request) -> Response:
    provider_id, _ = clinic_calendar(parts, request, Scope.CLINIC_READ)

    async def run(connection: Connection) -> list[Override]:
        return await calendars.overrides(connection, provider_id, await calendars.now(connection))

    return json_answer(OverrideList(overrides=await parts.reads.run(run)))


async def put_override(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    clinic_id, timezone = site.clinic.clinic_id, site.clinic.timezone
    override = _override(
        entry_of(request, "override_id"),
        read_as(await json_body(request, parts.settings.calendar_body_max_bytes), _decode),
    )

    async def run(connection: Connection) -> OverrideAnswer:
        now = await calendars.lock(connection, clinic_id)
        there = [each.override_id for each in await calendars.overrides(connection, provider_id, now)]
        if len(there) >= OVERRIDES_MAX and override.override_id not in there:
            raise Refused(
                problems.TOO_MANY_ENTRIES, f"A provider may have {OVERRIDES_MAX} overrides that are not over."
            )
        await calendars.put_override(connection, provider_id, override)
        await calendars.publish(connection, clinic_id)
        provider = await calendars.provider(connection, clinic_id, provider_id)
        if provider is None:
            raise Refused(problems.NOT_FOUND, "There is no such provider.")
        booked = await calendars.booked(connection, clinic_id, provider_id, now)
        busy = await calendars.busy(connection, provider_id, now)
        return OverrideAnswer(override=override, unfit=told(unfit(provider, timezone, booked, busy)))

    return json_answer(await parts.writes.run(run))


async def delete_override(parts: Parts, request: Request) -> Response:
    provider_id, site = clinic_calendar(parts, request, Scope.CLINIC_WRITE)
    clinic_id, override_id = site.clinic.clinic_id, entry_of(request, "override_id")

    async def run(connection: Connection) -> None:
        await calendars.lock(connection, clinic_id)
        if not await calendars.delete_override(connection, provider_id, override_id):
            raise Refused(problems.UNKNOWN_ENTRY, "There is no such override.")
        await calendars.publish(connection, clinic_id)

    await parts.writes.run(run)
    return Response(status_code=204)


def _override(override_id: str, wanted: OverrideBody) -> Override:
    """Raises Refused (422)."""
    from_at, to_at = span_of(wanted.from_at, wanted.to_at)
    if to_at - from_at > LONGEST:
        raise wrong_value("/to", f"An override may be {LONGEST.days} days long.")
    extends = wanted.kind is OverrideKind.EXTEND
    if extends != (wanted.slot_minutes is not None):
        raise wrong_value("/slot_minutes", "It goes with an extension, and with nothing else.")
    return Override(
        override_id=override_id, kind=wanted.kind, from_at=from_at, to_at=to_at, slot_minutes=wanted.slot_minutes
    )


PATH: Final = f"{PROVIDERS}/{{id}}/overrides"
_ID: Final = Parameter(
    name="override_id",
    where="path",
    schema={"type": "string", "pattern": ENTRY_PATTERN},
    description="The clinic's own name for it.",
    required=True,
)
LIST_OVERRIDES: Final = Operation(
    name="overrides",
    method="GET",
    path=PATH,
    summary="List a provider's one-off changes",
    endpoint=answering(list_overrides),
    parameters=(PROVIDER_ID,),
    answers=(Answer(status=200, description="Those not over.", body=OverrideList),),
    problems=(problems.NOT_FOUND, problems.READS_AWAY),
)
PUT_OVERRIDE: Final = Operation(
    name="put_override",
    method="PUT",
    path=f"{PATH}/{{override_id}}",
    summary="Block or open time once",
    endpoint=answering(put_override),
    parameters=(PROVIDER_ID, _ID),
    body=OverrideBody,
    answers=(Answer(status=200, description="In force. No booking was dropped.", body=OverrideAnswer),),
    problems=(
        *BODY_PROBLEMS,
        problems.NOT_FOUND,
        problems.UNKNOWN_ENTRY,
        problems.TOO_MANY_ENTRIES,
        problems.NOT_CHANGED,
    ),
)
DELETE_OVERRIDE: Final = Operation(
    name="delete_override",
    method="DELETE",
    path=f"{PATH}/{{override_id}}",
    summary="Take a one-off change back",
    endpoint=answering(delete_override),
    parameters=(PROVIDER_ID, _ID),
    answers=(Answer(status=204, description="Gone.", media_type=""),),
    problems=(problems.NOT_FOUND, problems.UNKNOWN_ENTRY, problems.NOT_CHANGED),
)
