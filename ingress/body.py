"""The body of a booking request as a type, and what is wrong with bytes that are not one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ingress import problems
from ingress.fixes import fix_of
from ingress.refusal import FieldError, Refused

T = TypeVar("T")
BODY_PROBLEMS: Final = (
    problems.BODY_TOO_LARGE,
    problems.WRONG_CONTENT_TYPE,
    problems.MALFORMED_JSON,
    problems.UNKNOWN_FIELD,
    problems.MISSING_FIELD,
    problems.WRONG_VALUE,
)
"""What any body that is JSON may be refused for."""

Id = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)", description="As the directory has it."),
]
# ``$`` also matches before a final newline in Python's regular expressions, hence the look-ahead after it.
PatientId = Annotated[
    str,
    Meta(
        pattern=r"^[!-~]{1,128}$(?!\n)",
        description="The app's own opaque id of the patient. Not a name, nor a number other people know.",
    ),
]
Channel = Annotated[str, Meta(pattern=r"^[a-z][a-z_]{0,31}$(?!\n)")]
Address = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,320}$(?!\n)")]
Locale = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$(?!\n)", description="BCP 47.")]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339, with a zone offset.")]


_CONTACT: Final = (
    "How they are told what becomes of it: addresses by channel (`email`, `sms` or `phone`, `push`) and, if they have "
    "chosen, `channels` (`push,sms`: the preferred first; `none`) and `quiet_hours` (`21:00-08:00` at the clinic)."
)


class PatientDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who the appointment is for."""

    id: PatientId
    contact: Annotated[dict[Channel, Address], Meta(max_length=8, description=_CONTACT)] | None = None
    locale: Locale | None = None


class WantedRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_at": "from", "to_at": "to"}):
    """The earliest free start in [from, to)."""

    from_at: Instant
    to_at: Instant


class BookingRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One appointment: exactly one of ``start_at`` and ``range``, and a provider, a clinic or both."""

    service_type: Id
    patient: PatientDetails
    provider_id: Id | UnsetType = UNSET
    clinic_id: Id | UnsetType = UNSET
    start_at: Instant | UnsetType = UNSET
    range: WantedRange | UnsetType = UNSET


class RescheduleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another time for a booking: exactly one of ``start_at`` and ``range``; without a provider, any of the clinic."""

    provider_id: Id | UnsetType = UNSET
    start_at: Instant | UnsetType = UNSET
    range: WantedRange | UnsetType = UNSET


_decode: Final = msgspec.json.Decoder(BookingRequest).decode
_decode_reschedule: Final = msgspec.json.Decoder(RescheduleRequest).decode
_PATH = re.compile(r" - at `(?:key` in `)?\$(?P<path>[^`]*)`$")
_INDEX = re.compile(r"\[(\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(?P<field>.*)`$")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`$")


def read(raw: bytes) -> BookingRequest:
    """Raises Refused: 400 where it is no JSON, 422 where it is not what we take."""
    return read_as(raw, _decode)


def read_reschedule(raw: bytes) -> RescheduleRequest:
    """Raises as ``read`` does."""
    return read_as(raw, _decode_reschedule)


def read_as(raw: bytes, decode: Callable[[bytes], T]) -> T:
    """The same for what a msgspec decoder reads."""
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        raise _refused(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(problems.MALFORMED_JSON, f"The body cannot be read as JSON: {error}.") from error


def _refused(message: str) -> Refused:
    """What msgspec says, with the place as a JSON pointer (RFC 6901)."""
    at = _PATH.search(message)
    told = message[: at.start()] if at else message
    pointer = _INDEX.sub(r"/\1", at["path"].replace("[...]", "")).replace(".", "/") if at else ""
    if unknown := _UNKNOWN.search(told):
        field = unknown["field"].replace("~", "~0").replace("/", "~1")
        return _at(f"{pointer}/{field}", f"{told}.", "Leave it out.", problems.UNKNOWN_FIELD)
    if missing := _MISSING.search(told):
        return _at(f"{pointer}/{missing['field']}", f"{told}.", "Add it.", problems.MISSING_FIELD)
    return _at(pointer, f"{told}.", fix_of(told), problems.WRONG_VALUE)


def _at(pointer: str, detail: str, fix: str, kind: problems.ProblemType) -> Refused:
    return Refused(kind, detail, (FieldError(detail=detail, fix=fix, pointer=pointer),))
