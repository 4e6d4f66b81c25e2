"""POST /v1/patients/erasure: forgets a patient of the app's. The id is in the body: addresses end up in logs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.access import require_app, require_scope
from ingress.answers import json_answer
from ingress.body import BODY_PROBLEMS, PatientId, read_as
from ingress.operation import IDEMPOTENCY_KEY, Answer, Operation, answering
from ingress.parts import Parts
from ingress.refusal import Refused
from ingress.requests import idempotency_key, json_body
from waiting_room.access import Scope
from waiting_room.store import erasure
from waiting_room.store.erasure import StillWanted


class ErasureRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to forget, by the app's own id."""

    patient_id: PatientId


class ErasureAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``bookings``: how many stay without their patient. None where nothing was known, or not any more."""

    erased_at: datetime
    bookings: int


_decode: Final = msgspec.json.Decoder(ErasureRequest).decode


async def erase(parts: Parts, request: Request) -> Response:
    headers = dict(request.scope["headers"])
    key = parts.authenticate(headers)
    require_app(key)
    require_scope(key, Scope.APPOINTMENTS_WRITE)
    idempotency_key(headers)
    asked = read_as(await json_body(request, parts.settings.ingress_body_max_bytes), _decode)
    patient = key.owner_id, parts.tags.of(key.owner_id, asked.patient_id)
    try:
        erased = await parts.writes.run(lambda connection: erasure.erase(connection, patient))
    except StillWanted as error:
        raise Refused(
            problems.PATIENT_HAS_BOOKINGS,
            "Bookings of this patient are still to take place, to be decided, or to be settled with their clinic.",
            more={"bookings": error.refs},
        ) from error
    return json_answer(ErasureAnswer(erased_at=erased.at, bookings=erased.bookings))


ERASE: Final = Operation(
    name="erase",
    method="POST",
    path="/v1/patients/erasure",
    summary="Forget a patient: their data cannot be read any more, by anybody",
    endpoint=answering(erase),
    body=ErasureRequest,
    parameters=(IDEMPOTENCY_KEY,),
    answers=(Answer(status=200, description="Nothing is known of the patient now.", body=ErasureAnswer),),
    problems=(
        problems.BAD_HEADER,
        *BODY_PROBLEMS,
        problems.PATIENT_HAS_BOOKINGS,
        problems.NOT_CHANGED,
    ),
)
