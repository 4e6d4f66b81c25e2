"""The HTTP dialect of the simulated clinics: bodies and keys in, status and bodies out.

    call                           Idempotency-Key            answers
    POST   {base}/bookings         <ref>:<revision>           201, 200 (repeat), 400, 409 {"reason"}
    GET    {base}/bookings/{ref}                              200, 404, 501 (no look-up)
    DELETE {base}/bookings/{ref}   <ref>:<revision>:withdraw  204, 400, 404, 409 {"reason"}
    GET    {base}/changes[?after=]                            200, 410

Any of them: 500, or 503 and 429 with Retry-After. A clinic without idempotency does not look at the key.
"""

from typing import Any

import msgspec

from loadtest.clinics.books import BookingRequest, Record
from loadtest.clinics.clinic import Reply
from loadtest.clinics.phone import Told
from loadtest.httpserver import PROBLEM, Exchange

_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(BookingRequest).decode


class BadRequestError(Exception):
    """The call is not of this dialect; the message says where."""


class Booked(msgspec.Struct, gc=False):
    clinic_booking_id: str
    booking_ref: str
    revision: int


class Found(msgspec.Struct, gc=False):
    """`status`: booked | withdrawn."""

    booking_ref: str
    revision: int
    clinic_booking_id: str
    status: str


def booking_request(exchange: Exchange, check_key: bool) -> BookingRequest:
    """Raises BadRequestError."""
    try:
        request = _decode_request(exchange.body)
    except msgspec.DecodeError as error:
        raise BadRequestError(str(error)) from error
    if check_key:
        key = exchange.headers.get(b"idempotency-key", b"")
        if key != f"{request.booking_ref}:{request.revision}".encode():
            raise BadRequestError("Idempotency-Key is not <booking_ref>:<revision> of the body")
    return request


def withdrawn_revision(exchange: Exchange, booking_ref: str, check_key: bool) -> int | None:
    """The revision to withdraw up to; None (all) where keys are not needed and none was given.

    Raises BadRequestError.
    """
    key = exchange.headers.get(b"idempotency-key")
    if key is None and not check_key:
        return None
    ref, _, rest = (key or b"").decode("latin-1").partition(":")
    revision, _, verb = rest.partition(":")
    if ref != booking_ref or verb != "withdraw" or not revision.isdecimal():
        raise BadRequestError("Idempotency-Key is not <booking_ref>:<revision>:withdraw")
    return int(revision)


def answer_changes(exchange: Exchange, told: Told | None) -> None:
    if told is None:
        answer_problem(exchange, 410, "unknown_cursor")
    else:
        exchange.answer(200, _encode(told))


def answer_reply(exchange: Exchange, reply: Reply, *, shown: bool) -> None:
    """Answer with what a clinic replied; `shown`: this was a look-up, so say what became of the booking."""
    if reply.record is not None:
        body = _found(reply.record) if shown else _booked(reply.record)
        exchange.answer(reply.status, body)
    elif reply.reason:
        answer_problem(exchange, reply.status, reply.reason)
    else:
        exchange.answer(reply.status)


def answer_problem(exchange: Exchange, status: int, reason: str, detail: str = "", **more: Any) -> None:
    """RFC 9457, with our `reason`; `more` members go in as they are."""
    body = {"type": "about:blank", "status": status, "reason": reason, **more}
    if detail:
        body["detail"] = detail
    exchange.answer(status, _encode(body), PROBLEM)


def answer_busy(exchange: Exchange, status: int, reason: str, retry_after_seconds: int) -> None:
    headers = ((b"retry-after", b"%d" % retry_after_seconds),)
    body = _encode({"type": "about:blank", "status": status, "reason": reason})
    exchange.answer(status, body, PROBLEM, headers)


def _booked(record: Record) -> bytes:
    return _encode(Booked(record.clinic_booking_id, record.booking_ref, record.revision))


def _found(record: Record) -> bytes:
    status = "withdrawn" if record.withdrawn_at else "booked"
    return _encode(Found(record.booking_ref, record.revision, record.clinic_booking_id, status))
