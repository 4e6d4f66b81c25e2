"""POST /v1/offers/{id}/accept and /decline: what somebody who waits says to a seat that is held for them.

Decided here, under the clinic's lock, and not through the queue: the answer has to be the truth at once, since the seat
is kept from others meanwhile, and who comes first counts by the database's clock when it is said, not when a queue
gets there. The offer's id is the idempotency key: said twice, it is answered as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.access import require_app, require_scope
from ingress.answers import BookingAnswer, json_answer, row_answer
from ingress.calendar_of import etag
from ingress.found import own_ref
from ingress.limiting import RATE_LIMIT, require_rate
from ingress.links import OFFERS, booking_links
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.parts import Parts
from ingress.passes.cookie import caller
from ingress.problems import ProblemType
from ingress.refusal import Refused
from waiting_room.access import OwnerKind, Scope
from waiting_room.domain.appointment import Status
from waiting_room.domain.booking_ref import clinic_of
from waiting_room.domain.deadlines import Deadlines
from waiting_room.domain.waitlist import Ended, offer_id
from waiting_room.messages import Confirmation
from waiting_room.store import bookings, offering, waitlist
from waiting_room.store.bookings import BookingRow
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Connection

log = structlog.get_logger(__name__)

_REFUSED: Final[Mapping[bool, Mapping[Ended, ProblemType]]] = {
    True: {
        Ended.DECLINED: problems.OFFER_ENDED,
        Ended.WITHDRAWN: problems.OFFER_ENDED,
        Ended.EXPIRED: problems.OFFER_EXPIRED,
        Ended.LOST: problems.OFFER_TAKEN,
    },
    False: {Ended.ACCEPTED: problems.OFFER_ACCEPTED},
}
"""By whether it is to be accepted; who declines what has come to nothing already has what they want."""


async def accept(parts: Parts, request: Request) -> Response:
    return await _answer(parts, request, accepts=True)


async def decline(parts: Parts, request: Request) -> Response:
    return await _answer(parts, request, accepts=False)


async def _answer(parts: Parts, request: Request, *, accepts: bool) -> Response:
    text, _, revision = request.path_params["id"].rpartition(".")
    key = await caller(parts, request, text)
    if key.owner_kind != OwnerKind.PASS:
        require_app(key)
    require_scope(key, Scope.APPOINTMENTS_WRITE)
    if not (revision.isascii() and revision.isdigit() and len(revision) < 10):
        raise _unknown()
    try:
        ref = own_ref(parts, key, text)
    except Refused as error:
        raise _unknown() from error
    rate = require_rate(parts, key.owner_id, ref if key.owner_kind == OwnerKind.PASS else None)
    usual = timedelta(seconds=parts.settings.hold_deadline_seconds)
    deadlines = Deadlines(usual, timedelta(seconds=parts.settings.hold_deadline_in_outage_seconds))
    asked = offer_id(ref, int(revision))
    outcome, row = await parts.writes.run(partial(_decide, ref, asked, deadlines, accepts))
    if accepts and outcome is Ended.ACCEPTED and row.status is Status.PENDING:
        await _ring(parts, row, int(revision))
    if (kind := _REFUSED[accepts].get(outcome)) is not None:
        more = {"booking_ref": ref, "booking_status": row.status, "links": booking_links(ref)}
        raise Refused(kind, f"The offer was {outcome}.", headers=rate, more=more)
    return json_answer(row_answer(row, None), headers={"ETag": etag(row.row_version), **rate})


async def _decide(
    ref: str, asked: str, deadlines: Deadlines, accepts: bool, connection: Connection
) -> tuple[Ended, BookingRow]:
    """What has come of the offer, and the booking as it is now."""
    try:
        journal = await Journal.open(connection, [clinic_of(ref)])
    except KeyError as error:
        raise _unknown() from error
    offer = await waitlist.offer(connection, asked)
    if offer is None:
        raise _unknown()
    outcome = await (offering.accept(journal, offer, deadlines) if accepts else offering.decline(journal, offer))
    row = await bookings.booking(connection, ref)
    if row is None:
        raise _unknown()
    return outcome, row


async def _ring(parts: Parts, row: BookingRow, revision: int) -> None:
    """Have confirm ask the clinic now. If it is not told, sweep tells it some seconds later."""
    site = parts.directory.clinic(row.clinic_id)
    if site is None:
        return
    doorbell = Confirmation(
        booking_ref=row.booking_ref,
        clinic_id=row.clinic_id,
        revision=revision,
        ticket=row.ticket or 0,
        held_at=row.asked_at,
    )
    try:
        await parts.handover.ring(site.clinic.partition, doorbell)
    except (KafkaError, TimeoutError) as error:
        log.warning("not_rung", booking_ref=row.booking_ref, error=type(error).__name__)


def _unknown() -> Refused:
    return Refused(problems.UNKNOWN_OFFER, "There is no offer with this id.")


_ID: Final = Parameter(
    name="id", where="path", schema=STRING, description="An offer's id, as the booking has it.", required=True
)
_ANSWERS: Final = (
    Answer(
        status=200,
        description="The booking as it is now, also where this had been said before.",
        body=BookingAnswer,
        headers={"ETag": STRING, **RATE_LIMIT},
        always=("ETag", *RATE_LIMIT),
        leads_to=("get", "history", "events", "cancel"),
    ),
)
_PROBLEMS: Final = (
    problems.BAD_HEADER,
    problems.UNKNOWN_OFFER,
    problems.RATE_LIMITED,
    problems.NOT_CHANGED,
    problems.READS_AWAY,
)
ACCEPT: Final = Operation(
    name="accept_offer",
    method="POST",
    path=f"{OFFERS}/{{id}}/accept",
    summary="Take a seat that was offered: the booking goes on as held, or is confirmed",
    endpoint=answering(accept),
    parameters=(_ID,),
    answers=_ANSWERS,
    problems=(*_PROBLEMS, problems.OFFER_ENDED, problems.OFFER_TAKEN, problems.OFFER_EXPIRED),
    by_pass=True,
)
DECLINE: Final = Operation(
    name="decline_offer",
    method="POST",
    path=f"{OFFERS}/{{id}}/decline",
    summary="Let the next one have it, and wait on",
    endpoint=answering(decline),
    parameters=(_ID,),
    answers=_ANSWERS,
    problems=(*_PROBLEMS, problems.OFFER_ACCEPTED),
    by_pass=True,
)
