"""Clinics that speak plain JSON over HTTP.

    call                           Idempotency-Key            answers
    POST   {base}/bookings         <ref>:<revision>           201, 200 (repeat), 409 and 422 {"reason"}
             a newer revision of a ref takes the place of the one before, or is refused and leaves it
    GET    {base}/bookings/{ref}                              200, 404, 501 (no look-up)
    DELETE {base}/bookings/{ref}   <ref>:<revision>:withdraw  204, 404 (not there)
    GET    {base}/changes          see ``rest_changes``

429 and 503 (with Retry-After): too busy, nothing was done. Any other 5xx, and an answer that is not of this
dialect, leaves a call's outcome open. Any other 3xx or 4xx means that the clinic did not take the request up; that
is somebody's mistake to mend, not a patient's refusal, so the call is made again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from yarl import URL

from clinic_adapter.errors import (
    ClinicCannotLookUp,
    ClinicError,
    ClinicOutcomeUnknown,
    ClinicOverloaded,
    ClinicRefused,
    ClinicUnavailable,
)
from clinic_adapter.gateway import Call, Check
from clinic_adapter.rest_changes import read_changes
from clinic_adapter.transport import Reply, Transport
from waiting_room.domain.clinic_call import Booked, NotThere
from waiting_room.domain.clinic_changes import Changes
from waiting_room.messages import Patient


class _Booking(msgspec.Struct, frozen=True):
    """Body of POST /bookings."""

    booking_ref: str
    revision: int
    provider_id: str
    seat: int
    service_type: str
    start_at: datetime
    end_at: datetime
    patient: Patient


class _Answer(msgspec.Struct, frozen=True):
    """Of POST, and of GET with a ``status``."""

    booking_ref: str
    revision: int
    clinic_booking_id: Annotated[str, Meta(pattern=r"^[^\x00]*$")]
    """PostgreSQL has no zero in its texts."""
    status: str = "booked"


class _Problem(msgspec.Struct, frozen=True):
    reason: str = "refused"


_encode = msgspec.json.Encoder().encode
_read_answer = msgspec.json.Decoder(_Answer).decode
_read_problem = msgspec.json.Decoder(_Problem).decode


class Rest:
    """A Gateway; ``endpoint`` is the clinic's base URL."""

    def __init__(self, transport: Transport, endpoint: str) -> None:
        self._transport = transport
        self._bookings = URL(endpoint.rstrip("/") + "/bookings")
        self._changes = URL(endpoint.rstrip("/") + "/changes")

    async def confirm(self, call: Call, check: Check) -> Booked:
        """See Gateway."""
        reply = await self._transport.exchange(
            "POST",
            self._bookings,
            check,
            key=f"{call.booking_ref}:{call.revision}",
            body=_encode(
                _Booking(
                    call.booking_ref,
                    call.revision,
                    call.provider_id,
                    call.seat,
                    call.service_type,
                    call.start_at,
                    call.end_at,
                    call.patient,
                )
            ),
        )
        if reply.status in (200, 201):
            answer = _answer_in(reply)
            if (answer.booking_ref, answer.revision) != (call.booking_ref, call.revision):
                raise ClinicOutcomeUnknown("the answer is about another booking")
            return Booked(answer.clinic_booking_id)
        raise _failure(reply)

    async def move(self, call: Call, check: Check) -> Booked:
        """See Gateway."""
        return await self.confirm(call, check)

    async def look_up(self, booking_ref: str, revision: int, check: Check) -> Booked | NotThere:
        """See Gateway."""
        try:
            reply = await self._transport.exchange("GET", self._bookings / booking_ref, check)
            if reply.status == 404:
                return NotThere()
            if reply.status in (405, 501):
                raise ClinicCannotLookUp(f"status {reply.status}")
            if reply.status != 200:
                raise _failure(reply)
            return _held(_answer_in(reply), booking_ref, revision)
        except ClinicOutcomeUnknown as error:
            raise ClinicUnavailable(str(error)) from error
        except ClinicRefused as error:  # in words of its own, which are not for logs
            raise ClinicUnavailable(f"status {reply.status}") from error

    async def withdraw(self, booking_ref: str, revision: int, check: Check) -> None:
        """See Gateway."""
        reply = await self._transport.exchange(
            "DELETE", self._bookings / booking_ref, check, key=f"{booking_ref}:{revision}:withdraw"
        )
        if reply.status not in (200, 204, 404):
            raise _failure(reply)

    async def changes(self, after: str | None) -> Changes | None:
        """See Gateway."""
        return await read_changes(self._transport, self._changes, after)


def _held(answer: _Answer, booking_ref: str, revision: int) -> Booked | NotThere:
    """A clinic shows the newest revision it holds: past ours, it has let go of ours."""
    if answer.booking_ref != booking_ref:
        raise ClinicUnavailable("the answer is about another booking")
    if answer.revision < revision:
        return NotThere()
    if answer.revision > revision or answer.status != "booked":
        return NotThere(final=True)
    return Booked(answer.clinic_booking_id)


def _answer_in(reply: Reply) -> _Answer:
    try:
        return _read_answer(reply.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClinicOutcomeUnknown(f"status {reply.status} with a body we cannot read") from error


def _failure(reply: Reply) -> ClinicError:
    """What an answer other than success means."""
    match reply.status:
        case 409 | 422:
            return ClinicRefused(_reason_in(reply))
        case 429 | 503:
            return ClinicOverloaded(f"status {reply.status}", reply.retry_after_seconds)
        case status if 300 <= status < 500:
            return ClinicUnavailable(f"status {status}", reply.retry_after_seconds)
        case status:
            return ClinicOutcomeUnknown(f"status {status}")


def _reason_in(reply: Reply) -> str:
    try:
        return _read_problem(reply.body).reason
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "refused"
