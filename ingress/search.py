"""POST /v1/appointments/search: a patient's bookings, for the app that made them. The id is in the body: addresses end
up in logs (ADR 37).

It only reads, so it takes no ``Idempotency-Key``. Pages are those of every list; a cursor names a time and a booking.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import BookingList
from ingress.body import BODY_PROBLEMS, PatientId, read_as
from ingress.links import APPOINTMENTS
from ingress.lists import of_patient, page_of
from ingress.operation import Answer, Operation, answering
from ingress.pages import PAGE_PARAMETERS
from ingress.parts import Parts
from ingress.requests import json_body

PATH: Final = f"{APPOINTMENTS}/search"


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose bookings, by the app's own id."""

    patient_id: PatientId


_decode: Final = msgspec.json.Decoder(SearchRequest).decode


async def search(parts: Parts, request: Request) -> Response:
    key = parts.authenticate(dict(request.scope["headers"]))
    asked = read_as(await json_body(request, parts.settings.ingress_body_max_bytes), _decode)
    return await page_of(parts, request.query_params, PATH, {}, of_patient(parts, key, asked.patient_id))


SEARCH: Final = Operation(
    name="search",
    method="POST",
    path=PATH,
    summary="List a patient's bookings",
    endpoint=answering(search),
    body=SearchRequest,
    parameters=PAGE_PARAMETERS,
    answers=(
        Answer(
            status=200,
            description="One page of this app's bookings for them, newest first. POST the same body to `next`.",
            body=BookingList,
        ),
    ),
    problems=(*BODY_PROBLEMS, problems.BAD_PARAMETER, problems.BAD_CURSOR, problems.READS_AWAY),
)
