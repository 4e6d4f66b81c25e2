"""POST /v1/clinics/{id}/closures: a day off, a doctor ill, a burst pipe. Blocks the time and moves who is booked.

The time is blocked before it answers, so that nobody is booked there any more; the bookings are moved by hold, in
order with every other command. Repeated with the same key, it does nothing again.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.access import require_scope
from ingress.answers import json_answer
from ingress.body import BODY_PROBLEMS, Id, Instant, read_as
from ingress.calendar_of import require_own_clinic, span_of, wrong_value
from ingress.command import fence, hand_over, require_producing
from ingress.desk import unknown_site
from ingress.directory import Site
from ingress.operation import IDEMPOTENCY_KEY, RETRY_AFTER, Answer, Operation, Parameter, answering
from ingress.overrides import LONGEST, OVERRIDES_MAX
from ingress.parts import Parts
from ingress.refusal import Refused, wrong_field
from ingress.remembered import key_reused
from ingress.requests import idempotency_key, json_body
from waiting_room.access import Scope
from waiting_room.domain.availability.rules import ClosureReason, Override, OverrideKind
from waiting_room.domain.availability.wall import instant
from waiting_room.messages import Closure
from waiting_room.store import calendars, closures
from waiting_room.store.pool import Connection
from waiting_room.webhook_events import Closed

PREFIX: Final = "closure-"
"""Of the overrides that a closure is made of."""


class ClosureBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_at": "from", "to_at": "to"}
):
    """Of the whole clinic, or of these providers; for a ``day`` of the clinic's calendar, or ``from`` one time ``to``
    another.
    """

    day: date | UnsetType = UNSET
    from_at: Instant | UnsetType = UNSET
    to_at: Instant | UnsetType = UNSET
    provider_ids: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=200)] | None = None
    reason: ClosureReason = ClosureReason.PROVIDER


class ClosureAnswer(msgspec.Struct, frozen=True, kw_only=True, rename={"from_at": "from", "to_at": "to"}):
    """Blocked from now on. ``affected``: bookings that are moved or, where nothing fits, cancelled."""

    closure_id: str
    from_at: datetime
    to_at: datetime
    provider_ids: tuple[str, ...]
    affected: list[str]


_decode: Final = msgspec.json.Decoder(ClosureBody).decode


async def close(parts: Parts, request: Request) -> Response:
    headers = dict(request.scope["headers"])
    key = parts.authenticate(headers)
    require_scope(key, Scope.CLINIC_WRITE)
    idempotency = idempotency_key(headers)
    site = parts.directory.clinic(request.path_params["id"])
    if site is None:
        raise unknown_site()
    require_own_clinic(key, site)
    wanted = read_as(await json_body(request, parts.settings.calendar_body_max_bytes), _decode)
    from_at, to_at = _span(site, wanted)
    if to_at - from_at > LONGEST:
        raise wrong_value("/to", f"A closure may be {LONGEST.days} days long.")
    provider_ids = _providers(site, wanted)
    clinic_id = site.clinic.clinic_id
    closure_id = sha256(f"{clinic_id} {key.owner_id} {idempotency}".encode()).hexdigest()[:20]
    block = Override(
        override_id=PREFIX + closure_id, kind=OverrideKind.BLOCK, from_at=from_at, to_at=to_at, slot_minutes=None
    )
    whose = None if wanted.provider_ids is None else provider_ids
    closed = Closed(clinic_id, closure_id, whose, from_at, to_at, wanted.reason)

    async def run(connection: Connection) -> list[str]:
        now = await calendars.lock(connection, clinic_id)
        before = await closures.recorded(connection, clinic_id, closure_id)
        if before is not None and before._replace(reason=closed.reason) != closed:
            raise key_reused()
        if before is None and to_at <= now:
            where = "/to" if wanted.day is UNSET else "/day"
            raise wrong_field(where, "That time has passed.", problems.START_IN_PAST.next_step, problems.START_IN_PAST)
        affected = []
        for provider_id in provider_ids:
            there = [each.override_id for each in await calendars.overrides(connection, provider_id, now)]
            if len(there) >= OVERRIDES_MAX and block.override_id not in there:
                detail = f"Provider {provider_id} has {OVERRIDES_MAX} overrides that are not over."
                raise Refused(problems.TOO_MANY_ENTRIES, detail)
            await calendars.put_override(connection, provider_id, block)
            booked = await calendars.booked(connection, clinic_id, provider_id, max(now, from_at))
            affected += [each.booking_ref for each in booked if each.start_at < to_at and each.start_at > now]
        await calendars.publish(connection, clinic_id)
        await closures.record(connection, closed, now)
        return affected

    require_producing(parts, site.clinic.partition, None)
    affected = await parts.writes.run(run)
    accepted_at, accept_by, accept_by_ms = fence(parts.settings)
    site = parts.directory.clinic(clinic_id) or site
    command = Closure(
        clinic_id=clinic_id,
        closure_id=closure_id,
        provider_ids=provider_ids,
        from_at=from_at,
        to_at=to_at,
        requested_at=accepted_at,
        accept_by=accept_by,
    )
    await hand_over(parts, site.clinic.partition, command, accept_by_ms)
    told = ClosureAnswer(
        closure_id=closure_id, from_at=from_at, to_at=to_at, provider_ids=provider_ids, affected=affected
    )
    return json_answer(told, 202)


def _span(site: Site, wanted: ClosureBody) -> tuple[datetime, datetime]:
    """Raises Refused (422)."""
    if isinstance(wanted.day, date) and wanted.from_at is UNSET and wanted.to_at is UNSET:
        if not date.min < wanted.day < date.max:
            raise wrong_value("/day", "That is no day anybody books.")
        zone = ZoneInfo(site.clinic.timezone)
        return span_of(instant(wanted.day, 0, zone), instant(wanted.day + timedelta(days=1), 0, zone))
    if wanted.day is UNSET and isinstance(wanted.from_at, datetime) and isinstance(wanted.to_at, datetime):
        return span_of(wanted.from_at, wanted.to_at)
    raise wrong_value("/day", "Send either `day`, or `from` and `to`.")


def _providers(site: Site, wanted: ClosureBody) -> tuple[str, ...]:
    """Raises Refused (422)."""
    if wanted.provider_ids is None:
        return tuple(sorted(site.providers))
    for number, provider_id in enumerate(wanted.provider_ids):
        if provider_id not in site.providers:
            raise wrong_value(f"/provider_ids/{number}", f"Provider {provider_id} is not at this clinic.")
    return tuple(sorted(set(wanted.provider_ids)))


CLOSE: Final = Operation(
    name="close",
    method="POST",
    path="/v1/clinics/{id}/closures",
    summary="Close for a while, and rebook who is booked then",
    endpoint=answering(close),
    parameters=(
        Parameter(name="id", where="path", schema={"type": "string"}, description="A clinic_id.", required=True),
        IDEMPOTENCY_KEY,
    ),
    body=ClosureBody,
    answers=(
        Answer(
            status=202,
            description="The time is blocked; the bookings in it are being moved.",
            body=ClosureAnswer,
            headers={"Retry-After": RETRY_AFTER},
        ),
    ),
    problems=(
        *BODY_PROBLEMS,
        problems.BAD_HEADER,
        problems.NOT_FOUND,
        problems.START_IN_PAST,
        problems.KEY_REUSED,
        problems.TOO_MANY_ENTRIES,
        problems.NOT_CHANGED,
        problems.NOT_ACCEPTING,
        problems.OUTCOME_UNKNOWN,
    ),
)
