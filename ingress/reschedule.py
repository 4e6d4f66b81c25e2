"""PATCH /v1/appointments/{ref}/reschedule: asks for another time. Goes through the queue as a booking does.

What can be told without the booking is checked here; whether the clinic has that time for it, hold says. Only of an
archived one it is said here that it is over: nothing can be written on it any more.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.access import require_app, require_scope
from ingress.answers import POLL_SECONDS, RescheduleAnswer, json_answer
from ingress.body import BODY_PROBLEMS, RescheduleRequest, read_reschedule
from ingress.command import fence, hand_over, overloaded, require_producing
from ingress.found import glance, own_ref, unknown, version_seen
from ingress.limiting import RATE_LIMIT, require_rate
from ingress.links import booking_links
from ingress.operation import IDEMPOTENCY_KEY, IF_UNCHANGED, REF, RETRY_AFTER, STRING, Answer, Operation, answering
from ingress.parts import Parts
from ingress.passes.cookie import caller
from ingress.refusal import Refused
from ingress.remembered import Rescheduling
from ingress.requests import idempotency_key, json_body
from ingress.wanted import moved_to
from waiting_room.access import OwnerKind, Scope
from waiting_room.domain.appointment import By
from waiting_room.domain.booking_ref import clinic_of, key_hash
from waiting_room.messages import Reschedule

_canonical: Final = msgspec.json.Encoder(order="deterministic").encode


async def reschedule(parts: Parts, request: Request) -> Response:
    if (busy := overloaded(parts)) is not None:
        return busy
    headers = dict(request.scope["headers"])
    key = await caller(parts, request)
    if key.owner_kind not in (OwnerKind.CLINIC, OwnerKind.PASS):
        require_app(key)
    require_scope(key, Scope.APPOINTMENTS_WRITE, Scope.CLINIC_WRITE)
    by = By.CLINIC if key.owner_kind == OwnerKind.CLINIC else By.PATIENT
    idempotency = idempotency_key(headers)
    ref = own_ref(parts, key, request.path_params["ref"])
    clinic_id = clinic_of(ref)
    if parts.directory.clinic(clinic_id) is None:
        raise unknown()
    rate = require_rate(parts, key.owner_id, ref if key.owner_kind == OwnerKind.PASS else None)
    asked = read_reschedule(await json_body(request, parts.settings.ingress_body_max_bytes))
    row = await glance(parts, ref)
    if row is not None and row.archived:
        raise Refused(problems.WRONG_STATUS, f"The booking is {row.status}.")

    async def produce() -> Rescheduling:
        accepted_at, accept_by, accept_by_ms = fence(parts.settings)
        site = parts.directory.clinic(clinic_id)
        if site is None:
            raise unknown()
        start_at, range_ = moved_to(asked, site, accepted_at, parts.settings.book_ahead_max_days)
        partition = site.clinic.partition
        require_producing(parts, partition, ref)
        seen = await version_seen(parts, request, ref)
        command = Reschedule(
            booking_ref=ref,
            clinic_id=clinic_id,
            app_id=key.owner_id if key.owner_kind == OwnerKind.APP else None,
            by=by,
            key_hash=key_hash(key.owner_id, idempotency),
            requested_at=accepted_at,
            accept_by=accept_by,
            provider_id=asked.provider_id or None,
            start_at=start_at,
            range=range_,
            if_version=seen,
        )
        await hand_over(parts, partition, command, accept_by_ms)
        return Rescheduling(ref, accepted_at)

    ref_of_key = parts.refs.derive(clinic_id, key.owner_id, idempotency)
    request_hash = sha256(b"reschedule " + ref.encode() + b" " + _canonical(asked)).digest()
    told = await parts.remembered.once(ref_of_key, request_hash, produce)
    answer = RescheduleAnswer(booking_ref=ref, requested_at=told.requested_at, links=booking_links(ref))
    return json_answer(answer, 202, {"Location": answer.links.self_, "Retry-After": str(POLL_SECONDS), **rate})


RESCHEDULE: Final = Operation(
    name="reschedule",
    method="PATCH",
    path="/v1/appointments/{ref}/reschedule",
    summary="Move a booking to another time",
    endpoint=answering(reschedule),
    body=RescheduleRequest,
    parameters=(REF, IDEMPOTENCY_KEY, IF_UNCHANGED),
    answers=(
        Answer(
            status=202,
            description="Accepted. The booking keeps its time until the new one is certain; read it to see.",
            body=RescheduleAnswer,
            headers={"Location": STRING, "Retry-After": RETRY_AFTER, **RATE_LIMIT},
            always=("Location", "Retry-After", *RATE_LIMIT),
            leads_to=("get", "history", "cancel"),
        ),
    ),
    problems=(
        problems.BAD_HEADER,
        problems.UNKNOWN_BOOKING,
        *BODY_PROBLEMS,
        problems.START_OR_RANGE,
        problems.UNKNOWN_PROVIDER,
        problems.PROVIDER_ELSEWHERE,
        problems.CLINIC_CLOSED,
        problems.START_IN_PAST,
        problems.TOO_FAR_AHEAD,
        problems.RANGE_EMPTY,
        problems.RANGE_TOO_LONG,
        problems.WRONG_STATUS,
        problems.CHANGED_MEANWHILE,
        problems.KEY_REUSED,
        problems.RATE_LIMITED,
        problems.BUSY,
        problems.NOT_ACCEPTING,
        problems.OUTCOME_UNKNOWN,
        problems.READS_AWAY,
    ),
    by_pass=True,
)
