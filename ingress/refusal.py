"""A problem as an answer: its body (RFC 9457 with our members) and the exception that ends a request with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from ingress.links import BookingLinks, Link
from ingress.problems import ProblemType

MEDIA_TYPE: Final = "application/problem+json"
Outcome = Literal["none", "unknown"]


class FieldError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault. Exactly one of ``pointer`` (RFC 6901, into the body), ``header`` and ``parameter`` says where."""

    detail: str
    fix: str
    pointer: str | msgspec.UnsetType = msgspec.UNSET
    header: str | msgspec.UnsetType = msgspec.UNSET
    parameter: str | msgspec.UnsetType = msgspec.UNSET


class OtherClinic(msgspec.Struct, frozen=True, kw_only=True):
    """Another clinic of the same business with a shorter line. ``place``: the next one there."""

    clinic_id: str
    name: str
    place: int
    link: str


class Alternative(msgspec.Struct, frozen=True):
    """A time that was free a moment ago; nobody keeps it for you."""

    clinic_id: str
    provider_id: str
    start_at: datetime


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why the request was refused and what to do next.

    ``outcome`` of a refused command: ``none``, nothing was handed on and nothing can come of this request, or
    ``unknown``, it may yet turn out to have been accepted.
    """

    type: str
    title: str
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: str
    next_step: str
    errors: tuple[FieldError, ...] = ()
    outcome: Outcome | msgspec.UnsetType = msgspec.UNSET
    booking_ref: str | msgspec.UnsetType = msgspec.UNSET
    booking_status: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET
    other_clinics: tuple[OtherClinic, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    bookings: tuple[str, ...] = ()
    """Refs of bookings that stand in the way."""
    waitlist: Link | msgspec.UnsetType = msgspec.UNSET
    """Where the same body may be sent to wait for what comes free."""
    error_id: str | msgspec.UnsetType = msgspec.UNSET
    links: BookingLinks | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode


@dataclass(eq=False)
class Refused(Exception):
    """The request ends here. ``more`` holds further members of Problem by name."""

    kind: ProblemType
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind.name}: {self.detail}"

    @property
    def body(self) -> bytes:
        kind = self.kind
        members = {"next_step": kind.next_step, "errors": self.errors, **self.more}
        return _encode(Problem(type=kind.address, title=kind.title, status=kind.status, detail=self.detail, **members))


def wrong_header(name: str, detail: str, fix: str, kind: ProblemType) -> Refused:
    return Refused(kind, detail, (FieldError(detail=detail, fix=fix, header=name),))


def wrong_parameter(name: str, detail: str, fix: str, kind: ProblemType) -> Refused:
    return Refused(kind, detail, (FieldError(detail=detail, fix=fix, parameter=name),))


def wrong_query(kind: ProblemType, name: str, detail: str) -> Refused:
    """A parameter that the kind of problem says all about."""
    return wrong_parameter(name, detail, kind.next_step, kind)


def wrong_field(pointer: str, detail: str, fix: str, kind: ProblemType) -> Refused:
    return Refused(kind, detail, (FieldError(detail=detail, fix=fix, pointer=pointer),))
