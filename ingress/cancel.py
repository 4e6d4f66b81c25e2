"""DELETE /v1/appointments/{ref}: asks for a cancel. Touches no database and works straight after the 202 of POST."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.access import require_app, require_scope
from ingress.answers import POLL_SECONDS, CancelAnswer, json_answer
from ingress.command import fence, hand_over, overloaded, require_producing
from ingress.found import own_ref, unknown
from ingress.links import booking_links
from ingress.operation import IDEMPOTENCY_KEY, REF, RETRY_AFTER, STRING, Answer, Operation, answering
from ingress.parts import Parts
from ingress.remembered import Cancelling
from ingress.requests import idempotency_key
from waiting_room.access import Scope
from waiting_room.domain.booking_ref import clinic_of
from waiting_room.messages import Cancel


async def cancel(parts: Parts, request: Request) -> Response:
    if (busy := overloaded(parts)) is not None:
        return busy
    headers = dict(request.scope["headers"])
    key = parts.authenticate(headers)
    require_app(key)
    require_scope(key, Scope.APPOINTMENTS_WRITE)
    idempotency = idempotency_key(headers)
    ref = own_ref(parts, key, request.path_params["ref"])
    clinic_id = clinic_of(ref)
    if parts.directory.clinic(clinic_id) is None:
        raise unknown()

    async def produce() -> Cancelling:
        accepted_at, accept_by, accept_by_ms = fence(parts.settings)
        site = parts.directory.clinic(clinic_id)
        if site is None:
            raise unknown()
        partition = site.clinic.partition
        require_producing(parts, partition, ref)
        command = Cancel(
            booking_ref=ref,
            clinic_id=clinic_id,
            app_id=key.owner_id,
            requested_at=accepted_at,
            accept_by=accept_by,
        )
        await hand_over(parts, partition, command, accept_by_ms)
        return Cancelling(ref, accepted_at)

    ref_of_key = parts.refs.derive(clinic_id, key.owner_id, idempotency)
    told = await parts.remembered.once(ref_of_key, sha256(b"cancel " + ref.encode()).digest(), produce)
    answer = CancelAnswer(booking_ref=ref, requested_at=told.requested_at, links=booking_links(ref))
    return json_answer(answer, 202, {"Location": answer.links.self_, "Retry-After": str(POLL_SECONDS)})


CANCEL: Final = Operation(
    name="cancel",
    method="DELETE",
    path="/v1/appointments/{ref}",
    summary="Cancel a booking",
    endpoint=answering(cancel),
    parameters=(REF, IDEMPOTENCY_KEY),
    answers=(
        Answer(
            status=202,
            description="The cancel was accepted; read the booking to see it carried out.",
            body=CancelAnswer,
            headers={"Location": STRING, "Retry-After": RETRY_AFTER},
            always=("Location", "Retry-After"),
        ),
    ),
    problems=(
        problems.BAD_HEADER,
        problems.UNKNOWN_BOOKING,
        problems.KEY_REUSED,
        problems.BUSY,
        problems.NOT_ACCEPTING,
        problems.OUTCOME_UNKNOWN,
    ),
)
