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
from waiting_room.domain.stock import LotKey
from waiting_room.domain.stocktake import NotInStock, TooMany
from waiting_room.domain.visits import earliest, too_early
from waiting_room.messages import AccessKey
from waiting_room.store import bookings, stock
from waiting_room.store.bookings import BookingRow
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection
from waiting_room.store.stock import Given, OpenStock


class Administered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lot that was used, where it is not the one that was reserved."""

    product: Id
    lot: LotName
    pool: Id = GENERAL_POOL

    @property
    def key(self) -> LotKey:
        return self.pool, self.lot


class Completion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without ``administered`` the patient was given what was reserved. Where it was completed before, by time or by
    saying so, what was given is corrected to this.
    """

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
    row = await parts.writes.run(partial(_record, parts, request, key, ref, event, given))
    return json_answer(row_answer(row, None), headers={"ETag": etag(row.row_version)})


def _require_once(given: tuple[Administered, ...]) -> None:
    """Raises Refused (422): all that an appointment takes of a product comes from one lot."""
    for at, each in enumerate(given):
        if each.product in {other.product for other in given[:at]}:
            detail = f"The product {each.product} is there twice."
            fix = "Name the lot that most of it came from, and count the other."
            raise wrong_field(f"/administered/{at}/product", detail, fix, problems.WRONG_VALUE)


async def _record(
    parts: Parts,
    request: Request,
    key: AccessKey,
    ref: str,
    event: EventType,
    given: tuple[Administered, ...],
    connection: Connection,
) -> BookingRow:
    """Once: what has happened already is not written again; what was given instead of that is."""
    clinic_id = clinic_of(ref)
    try:
        journal = await Journal.open(connection, [clinic_id])
    except KeyError as error:
        raise unknown() from error
    booking = (await journal.load([(clinic_id, ref)])).get((clinic_id, ref))
    if booking is None:
        return await _happened_before(connection, ref, event, given)
    require_unchanged = partial(_require_unchanged, request, booking.row_version)
    is_news = booking.known_state.status is not _RESULT[event]
    if is_news:
        require_unchanged()
        _require_lawful(journal, booking, event)
    for each in given:
        opened = await _open(connection, booking, each.product)
        before = await stock.given(connection, clinic_id, each.product, ref)
        doses = _kept(opened, ref) or sum(before.lots.values()) or _usual_doses(parts, booking, each.product)
        if before.lots != {each.key: doses}:
            require_unchanged()
            await _administer(opened, key, booking, each.key, doses, before)
    if is_news:
        await journal.write()
    row = await bookings.booking(connection, ref)
    if row is None:
        raise unknown()
    return row


async def _happened_before(
    connection: Connection, ref: str, event: EventType, given: tuple[Administered, ...]
) -> BookingRow:
    """An archived booking, of which this had been said. Raises Refused (404, 409)."""
    row = await bookings.booking(connection, ref)
    if row is None or row.booking_ref != ref:
        raise unknown()
    if row.status is not _RESULT[event]:
        raise Refused(problems.WRONG_STATUS, f"The booking is {row.status}.")
    for each in given:
        before = await stock.given(connection, row.clinic_id, each.product, ref)
        if list(before.lots) != [each.key]:
            detail = f"The booking is archived, and not with lot {each.lot} of {each.product}."
            more = {"next_step": "What was given is not changed any more; keep a note of your own."}
            raise Refused(problems.WRONG_STATUS, detail, more=more)
    return row


def _require_unchanged(request: Request, version: int) -> None:
    """Raises Refused (412)."""
    if "if-match" in request.headers:
        require_version(request, version)


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


async def _open(connection: Connection, booking: Booking, product: str) -> OpenStock:
    """Raises Refused (404)."""
    opened = await stock.open_stock(connection, booking.clinic_id, product)
    if opened is None:
        raise Refused(problems.UNKNOWN_PRODUCT, f"Clinic {booking.clinic_id} has no product {product}.")
    return opened


def _kept(opened: OpenStock, ref: str) -> int:
    """Doses that are reserved for the booking, or that it is short of."""
    needs = (*opened.take.needs, *opened.take.released)
    return sum(each.doses for each in needs if each.booking_ref == ref)


def _usual_doses(parts: Parts, booking: Booking, product: str) -> int:
    """What an appointment of its service takes of the product; one, where it is known to take none."""
    site = parts.directory.clinic(booking.clinic_id)
    service = site.services.get(booking.service_type or "") if site else None
    consumes = service.consumes if service else ()
    return sum(each.doses for each in consumes if each.product == product) or 1


async def _administer(
    opened: OpenStock, key: AccessKey, booking: Booking, lot: LotKey, doses: int, before: Given
) -> None:
    """What was reserved, or was said to be given before, comes free; whoever had the dose that was used is served from
    elsewhere, or is short. Raises Refused (409, 422).
    """
    ref = booking.booking_ref
    has_left_at = before.said_at
    if has_left_at is None and not any(each.booking_ref == ref for each in opened.take.needs):
        has_left_at = booking.end_at  # a count after it was over was without what the patient was given
    counted = has_left_at is not None and opened.counted_at is not None and opened.counted_at > has_left_at
    opened.take.release(ref)
    try:
        opened.take.give(lot, doses, ref, before.lots, counted=counted)
    except NotInStock as error:
        raise Refused(problems.NOT_IN_STOCK, str(error)) from error
    except TooMany as error:
        raise wrong_field("/administered", str(error), "Name another lot.", problems.WRONG_VALUE) from error
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
    summary="The patient was seen; what was reserved was given, or another lot, which may be said later, too",
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
