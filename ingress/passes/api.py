"""/v1/passes: a patient's browser gives a pass in and gets a cookie. /v1/appointments/{ref}/passes: made and revoked.

A pass comes in a body and goes out in a cookie that no script can read: it stands in no address and in no log.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.access import require_scope
from ingress.answers import json_answer
from ingress.body import BODY_PROBLEMS, read_as
from ingress.found import find, own_ref, unknown
from ingress.links import APPOINTMENTS
from ingress.operation import REF, STRING, Answer, Operation, answering
from ingress.parts import Parts
from ingress.passes.cookie import cookie_name, held_pass, require_same_site
from ingress.refusal import Refused, wrong_field
from ingress.remembered import Accepted
from ingress.requests import json_body
from waiting_room.access import Scope
from waiting_room.domain.booking_ref import clinic_of
from waiting_room.passes import NotAPass, Pass, ends_at, link_to, sign
from waiting_room.store import passes
from waiting_room.store.bookings import BookingRow
from waiting_room.telemetry import metrics

PATH: Final = "/v1/passes"


class PassRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"text": "pass"}):
    """As it stands behind the `#` of the link."""

    text: Annotated[str, Meta(max_length=200)]


class OpenedPass(msgspec.Struct, frozen=True, kw_only=True):
    """Which booking it opens, at which clinic, and until when."""

    booking_ref: str
    clinic: str
    timezone: str
    ends_at: datetime


class MadePass(msgspec.Struct, frozen=True, kw_only=True, rename={"text": "pass"}):
    """For the patient alone. ``link``: the page that takes it, relative to this API."""

    text: str
    link: str
    ends_at: datetime


_decode: Final = msgspec.json.Decoder(PassRequest).decode


for _outcome in ("opened", "refused"):
    metrics.PASSES_OPENED.labels(_outcome)


async def open_pass(parts: Parts, request: Request) -> Response:
    headers = dict(request.scope["headers"])
    require_same_site(headers)
    wanted = read_as(await json_body(request, parts.settings.ingress_body_max_bytes), _decode)
    try:
        held = await held_pass(parts, wanted.text)
    except NotAPass as error:
        metrics.PASSES_OPENED.labels("refused").inc()
        fix = "Open the link of the newest message, or look in the app."
        raise wrong_field("/pass", f"The pass opens nothing: {error}.", fix, problems.WRONG_VALUE) from error
    site = parts.directory.clinic(clinic_of(held.booking_ref))
    if site is None:
        raise unknown()
    clinic = site.clinic
    metrics.PASSES_OPENED.labels("opened").inc()
    told = OpenedPass(booking_ref=held.booking_ref, clinic=clinic.name, timezone=clinic.timezone, ends_at=held.ends_at)
    answer = json_answer(told)
    # Until the browser is closed: it may be somebody else's, and the link is still in the message.
    answer.set_cookie(cookie_name(held.booking_ref), wanted.text, secure=True, httponly=True, samesite="strict")
    return answer


async def make(parts: Parts, request: Request) -> Response:
    """Writes nothing: the same booking has the same pass until they are revoked."""
    row = await _own_booking(parts, request)
    secrets = parts.settings.link_secrets
    if not secrets:
        raise Refused(problems.NOT_FOUND, "There are no passes here: no secret for links is set.")
    last = row.end_at or (row.wait.to_at if row.wait else row.accepted_at)
    until = ends_at(last, parts.settings.notify_pass_days)
    if row.archived or until <= datetime.now(UTC):
        raise Refused(problems.WRONG_STATUS, f"The booking is over: a pass for it would have ended at {until:%F %T}Z.")
    generation = await parts.reads.run(lambda connection: passes.generation(connection, row.clinic_id, row.booking_ref))
    text = sign(secrets[0], Pass(row.booking_ref, until, generation or 0))
    return json_answer(MadePass(text=text, link=link_to("", text), ends_at=until), 201)


async def revoke(parts: Parts, request: Request) -> Response:
    row = await _own_booking(parts, request)
    await parts.writes.run(lambda connection: passes.revoke(connection, row.clinic_id, row.booking_ref))
    return Response(status_code=204)


async def _own_booking(parts: Parts, request: Request) -> BookingRow:
    """Raises Refused: 401, 403, 404, 409 before it is held, 503."""
    key = parts.authenticate(dict(request.scope["headers"]))
    require_scope(key, Scope.APPOINTMENTS_WRITE, Scope.CLINIC_WRITE)
    state = await find(parts, key, own_ref(parts, key, request.path_params["ref"]))
    if isinstance(state, Accepted):
        raise Refused(problems.WRONG_STATUS, "The booking is not held yet. Ask again in a moment.")
    return state


PASSES: Final = (
    Operation(
        name="open_pass",
        method="POST",
        path=PATH,
        summary="Exchange a pass for a cookie that opens its booking",
        endpoint=answering(open_pass),
        body=PassRequest,
        answers=(
            Answer(
                status=200,
                description="What it opens; the cookie is for this site's own pages.",
                body=OpenedPass,
                headers={"Set-Cookie": STRING},
                always=("Set-Cookie",),
            ),
        ),
        problems=(
            *BODY_PROBLEMS,
            problems.FORBIDDEN,
            problems.UNKNOWN_BOOKING,
            problems.NOT_READY,
            problems.READS_AWAY,
        ),
        secured=False,
    ),
    Operation(
        name="make_pass",
        method="POST",
        path=APPOINTMENTS + "/{ref}/passes",
        summary="A pass for the booking's patient",
        endpoint=answering(make),
        parameters=(REF,),
        answers=(Answer(status=201, description="The same until they are revoked.", body=MadePass),),
        problems=(problems.UNKNOWN_BOOKING, problems.NOT_FOUND, problems.WRONG_STATUS, problems.READS_AWAY),
    ),
    Operation(
        name="revoke_passes",
        method="DELETE",
        path=APPOINTMENTS + "/{ref}/passes",
        summary="Revoke every pass that was made for the booking so far",
        endpoint=answering(revoke),
        parameters=(REF,),
        answers=(Answer(status=204, description="None of them holds any more.", media_type=""),),
        problems=(
            problems.UNKNOWN_BOOKING,
            problems.WRONG_STATUS,
            problems.READS_AWAY,
            problems.NOT_CHANGED,
        ),
    ),
)
