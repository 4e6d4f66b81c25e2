"""GET /v1/appointments/{ref}: where a booking stands, straight after its 202 as well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.access import require_scope
from ingress.answers import (
    BookingAnswer,
    accepted_answer,
    json_answer,
    notification_answer,
    poll_after_seconds,
    row_answer,
)
from ingress.found import State, find, own_ref
from ingress.operation import REF, RETRY_AFTER, STRING, Answer, Operation, answering
from ingress.parts import Parts
from ingress.passes.cookie import caller
from ingress.remembered import Accepted
from waiting_room.access import Scope
from waiting_room.domain.appointment import Stage, Status
from waiting_room.domain.eta import Eta
from waiting_room.messages import AccessKey
from waiting_room.store import archived, notifications
from waiting_room.store.bookings import BookingRow
from waiting_room.store.notifications import Told


async def reader(parts: Parts, request: Request) -> AccessKey:
    """Whose key or pass it is, if it may read bookings at all. Raises Refused."""
    key = await caller(parts, request)
    require_scope(key, Scope.APPOINTMENTS_READ, Scope.CLINIC_READ)
    return key


async def answer(parts: Parts, state: State) -> BookingAnswer:
    """What is told of it now."""
    if isinstance(state, Accepted):
        return accepted_answer(state)
    return row_answer(state, eta(parts, state), await parts.alternatives.near(state))


def eta(parts: Parts, row: BookingRow) -> Eta | None:
    """When the booking will be decided, if anybody can tell."""
    site = parts.directory.clinic(row.clinic_id)
    to_verify = row.service_type if row.stage is Stage.VERIFYING else None
    return parts.lines.eta(site.clinic, row.place, datetime.now(UTC), to_verify) if site else None


async def notifications_of(parts: Parts, row: BookingRow) -> list[Told]:
    """What its patient is told. Raises Refused (503)."""
    read = archived.notifications if row.archived else notifications.of_booking
    return await parts.reads.run(lambda connection: read(connection, row.clinic_id, row.booking_ref))


async def get(parts: Parts, request: Request) -> Response:
    key = await reader(parts, request)
    state = await find(parts, key, own_ref(parts, key, request.path_params["ref"]))
    told = await answer(parts, state)
    if not isinstance(state, Accepted):
        sent = await notifications_of(parts, state)
        told = replace(told, notifications=tuple(map(notification_answer, sent)) or UNSET)
    headers = {}
    if not isinstance(state, Accepted):
        headers["ETag"] = f'"{state.row_version}"'
    if told.status is Status.PENDING:
        headers["Retry-After"] = str(poll_after_seconds(told.eta))
    return json_answer(told, headers=headers)


GET: Final = Operation(
    name="get",
    method="GET",
    path="/v1/appointments/{ref}",
    summary="Read a booking",
    endpoint=answering(get),
    parameters=(REF,),
    answers=(
        Answer(
            status=200,
            description="Where it stands.",
            body=BookingAnswer,
            headers={
                "ETag": {**STRING, "description": "The version of the booking; its place in line is no part of it."},
                "Retry-After": RETRY_AFTER,
            },
        ),
    ),
    problems=(problems.UNKNOWN_BOOKING, problems.READS_AWAY),
    by_pass=True,
)
