"""POST /v1/appointments/{ref}/arrival, /completion and /no-show: what became of a confirmed appointment."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import BookingAnswer, json_answer, row_answer
from ingress.body import Id, read_as
from ingress.calendar_of import etag, require_version
from ingress.desk import desk_key
from ingress.found import own_ref, unknown
from ingress.operation import IF_UNCHANGED, REF, STRING, Answer, Operation, answering
from ingress.parts import Parts
from ingress.refusal import Refused, wrong_field
from ingress.requests import body, require_json
from ingress.stock_types import LotName
from waiting_room.domain.appointment import By, ClinicState, EventType, IllegalTransition, Reason, Status
from waiting_room.domain.booking_ref import clinic_of
from waiting_room.domain.directory import GENERAL_POOL
from waiting_room.domain.stocktake import NotInStock
from waiting_room.domain.visits import earliest, too_early
from waiting_room.messages import AccessKey
from waiting_room.store import bookings, stock
from waiting_room.store.bookings import BookingRow
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection


class Administered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lot that was used, where it is not the one that was reserved."""

    product: Id
    lot: LotName
    pool: Id = GENERAL_POOL


class Completion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without ``administered`` the patient was given what was reserved."""

    administered: Annotated[tuple[Administered, ...], Meta(max_length=8)] = ()


_decode: Final = msgspec.json.Decoder(Completion).decode
_RESULT: Final = {
    EventType.ARRIVED: Status.ARRIVED,
    EventType.COMPLETED: Status.COMPLETED,
    EventType.NO_SHOW: Status.NO_SHOW,
}


async def arrival(parts: Parts, request: Request) -> Response:
    return await _happened(parts, request, EventType.ARRIVED)


async def completion(parts: Parts, request: Request) -> Response:
    return await _happened(parts, request, EventType.COMPLETED)


async def no_show(parts: Parts, request: Request) -> Response:
    return await _happened(parts, request, EventType.NO_SHOW)


async def _happened(parts: Parts, request: Request, event: EventType) -> Response:
    headers = dict(request.scope["headers"])
    key = desk_key(parts, headers)
    ref = own_ref(parts, key, request.path_params["ref"])
    raw = await body(headers, request.receive, parts.settings.ingress_body_max_bytes)
    given: tuple[Administered, ...] = ()
    if event is EventType.COMPLETED and raw:
        require_json(headers)
        given = read_as(raw, _decode).administered
        _require_once(given)
    row = await parts.writes.run(partial(_record, request, key, ref, event, given))
    return json_answer(row_answer(row, None), headers={"ETag": etag(row.row_version)})


def _require_once(given: tuple[Administered, ...]) -> None:
    """Raises Refused (422): all that an appointment takes of a product comes from one lot."""
    for at, each in enumerate(given):
        if each.product in {other.product for other in given[:at]}:
            detail = f"The product {each.product} is there twice."
            fix = "Name the lot that most of it came from, and count the other."
            raise wrong_field(f"/administered/{at}/product", detail, fix, problems.WRONG_VALUE)


async def _record(
    request: Request,
    key: AccessKey,
    ref: str,
    event: EventType,
    given: tuple[Administered, ...],
    connection: Connection,
) -> BookingRow:
    """Once: what has happened already is not written again."""
    clinic_id = clinic_of(ref)
    try:
        journal = await Journal.open(connection, [clinic_id])
    except KeyError as error:
        raise unknown() from error
    booking = (await journal.load([(clinic_id, ref)])).get((clinic_id, ref))
    if booking is None:
        return await _happened_before(connection, ref, event)
    if booking.known_state.status is not _RESULT[event]:
        if "if-match" in request.headers:
            require_version(request, booking.row_version)
        _require_lawful(journal, booking, event)
        for each in given:
            await _administer(connection, key, booking, each)
        await journal.write()
    row = await bookings.booking(connection, ref)
    if row is None:
        raise unknown()
    return row


async def _happened_before(connection: Connection, ref: str, event: EventType) -> BookingRow:
    """An archived booking, of which this had been said. Raises Refused (404, 409)."""
    row = await bookings.booking(connection, ref)
    if row is None or row.booking_ref != ref:
        raise unknown()
    if row.status is not _RESULT[event]:
        raise Refused(problems.WRONG_STATUS, f"The booking is {row.status}.")
    return row


def _require_lawful(journal: Journal, booking: Booking, event: EventType) -> None:
    """Record it. Raises Refused (409).

    A wish for another time ends with it, unless its clinic is just being asked for that.
    """
    state = booking.known_state
    comes = state.status in (Status.CONFIRMED, Status.ARRIVED)
    if comes and booking.start_at is not None and too_early(event, booking.start_at, journal.now):
        from_at = earliest(event, booking.start_at)
        more = {"next_step": f"Say it from {from_at.isoformat()} on. Who is not to come at all is cancelled."}
        detail = f"The appointment starts at {booking.start_at.isoformat()}."
        raise Refused(problems.WRONG_STATUS, detail, more=more)
    if state.moving_to is not None and state.clinic_state is ClinicState.BOOKED:
        journal.record(booking, EventType.RESCHEDULE_FAILED, reason=Reason.NOT_ACTIVE)
    try:
        journal.record(booking, event, by=By.CLINIC if event is EventType.NO_SHOW else None)
    except IllegalTransition as error:
        if booking.wish is None:
            raise Refused(problems.WRONG_STATUS, f"The booking is {state.status}.") from error
        detail = (
            f"It is being moved to {booking.wish.start_at.isoformat()}, and its clinic's system has not answered yet."
        )
        more = {"next_step": "Send it again in a minute: then the booking is moved, or stays as it is."}
        raise Refused(problems.WRONG_STATUS, detail, more=more) from error


async def _administer(connection: Connection, key: AccessKey, booking: Booking, given: Administered) -> None:
    """What was reserved comes free; whoever had the dose that was used is served from elsewhere, or is short."""
    opened = await stock.open_stock(connection, booking.clinic_id, given.product)
    if opened is None:
        raise Refused(problems.UNKNOWN_PRODUCT, f"Clinic {booking.clinic_id} has no product {given.product}.")
    needs = (*opened.take.needs, *opened.take.released)
    doses = sum(each.doses for each in needs if each.booking_ref == booking.booking_ref) or 1
    opened.take.release(booking.booking_ref)
    try:
        opened.take.administer((given.pool, given.lot), doses, booking.booking_ref)
    except NotInStock as error:
        raise Refused(problems.NOT_IN_STOCK, str(error)) from error
    await opened.write(key.key_id)


_PROBLEMS: Final = (
    problems.BAD_HEADER,
    problems.UNKNOWN_BOOKING,
    problems.WRONG_STATUS,
    problems.CHANGED_MEANWHILE,
    problems.BODY_TOO_LARGE,
    problems.NOT_CHANGED,
)
_ANSWERS: Final = (
    Answer(
        status=200,
        description="The booking as it is now, also where this had been said before.",
        body=BookingAnswer,
        headers={"ETag": STRING},
        always=("ETag",),
    ),
)

ARRIVAL: Final = Operation(
    name="arrival",
    method="POST",
    path="/v1/appointments/{ref}/arrival",
    summary="The patient has arrived",
    endpoint=answering(arrival),
    parameters=(REF, IF_UNCHANGED),
    answers=_ANSWERS,
    problems=_PROBLEMS,
)
COMPLETION: Final = Operation(
    name="completion",
    method="POST",
    path="/v1/appointments/{ref}/completion",
    summary="The patient was seen; what was reserved was given, or another lot",
    endpoint=answering(completion),
    parameters=(REF, IF_UNCHANGED),
    body=Completion,
    body_required=False,
    answers=_ANSWERS,
    problems=(
        *_PROBLEMS,
        problems.MALFORMED_JSON,
        problems.WRONG_CONTENT_TYPE,
        problems.UNKNOWN_FIELD,
        problems.MISSING_FIELD,
        problems.WRONG_VALUE,
        problems.UNKNOWN_PRODUCT,
        problems.NOT_IN_STOCK,
    ),
)
NO_SHOW: Final = Operation(
    name="no_show",
    method="POST",
    path="/v1/appointments/{ref}/no-show",
    summary="The patient did not come, or left unseen: seat and dose come free",
    endpoint=answering(no_show),
    parameters=(REF, IF_UNCHANGED),
    answers=_ANSWERS,
    problems=_PROBLEMS,
)
