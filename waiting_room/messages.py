"""Every record on every topic: typed, versioned JSON.

A record is ``{"type": ..., "v": ..., ...}``. Fields with defaults may be added within a version; a change that a
reader of today could misread raises ``v`` and adds an upgrade from the version before it. An older record is read
for as long as its topic may hold it; one that cannot be read raises Unreadable and goes to the dead-letter topic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from waiting_room.commands import Book as Book
from waiting_room.commands import Cancel as Cancel
from waiting_room.commands import Closure as Closure
from waiting_room.commands import Command as Command
from waiting_room.commands import Moment as Moment
from waiting_room.commands import Moved as Moved
from waiting_room.commands import Patient as Patient
from waiting_room.commands import Probe as Probe
from waiting_room.commands import Reschedule as Reschedule
from waiting_room.commands import Shortage as Shortage
from waiting_room.commands import TimeRange as TimeRange
from waiting_room.domain.appointment import By, ClinicState, EventType, Reason, Stage, Status
from waiting_room.domain.booking_ref import number_of_clinic
from waiting_room.domain.directory import Clinic


class Unreadable(ValueError):
    """The bytes are no message we know; the text says why in one line."""


class Confirmation(msgspec.Struct, frozen=True, kw_only=True, tag="confirmation"):
    """A doorbell: this booking has work at its clinic (a call or a withdrawal). The row says what."""

    booking_ref: str
    clinic_id: str
    revision: int
    ticket: int
    held_at: Moment
    v: int = 1


class OfferTold(msgspec.Struct, frozen=True, kw_only=True):
    """A seat that is held until ``expires_at``; ``to_all``: for the first of several to accept."""

    offer_id: str
    expires_at: Moment
    to_all: bool = False


class BookingEvent(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """One row of appointment_events: what happened and the state it left. No patient data."""

    clinic_id: str
    seq: int
    booking_ref: str
    app_id: str
    event: EventType
    at: Moment
    status: Status
    row_version: int
    revision: int
    stage: Stage | None = None
    clinic_state: ClinicState = ClinicState.NONE
    reason: Reason | None = None
    by: By | None = None
    ticket: int | None = None
    provider_id: str | None = None
    service_type: str | None = None
    start_at: Moment | None = None
    end_at: Moment | None = None
    line: int | None = None
    """Undecided bookings of the clinic after this event."""
    moving_to: int | None = None
    """See ``appointment.State``."""
    offer: OfferTold | None = None
    """With the events that make one."""
    v: int = 1


class ClinicPulse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A clinic's line as one worker last saw it; the one with the highest ``seq`` is the truest.

    What follows ``bookable`` comes from confirm only. ``call_seconds`` is how long a booking takes a slot of its
    clinic, ``decide_seconds`` how long it is from its first call until it is decided: means. ``known_limit`` and
    ``usual_seconds`` are what the next run of a worker begins with; ``why``: why the line waits, by
    ``workers.pacing.view``.
    """

    seq: int
    line: int
    bookable: int | None = None
    """From hold: starts with a free seat, as far ahead as bookings are taken; never less than the truth."""
    limit: int | None = None
    in_flight: int | None = None
    call_seconds: float | None = None
    call_sigma_seconds: float | None = None
    decide_seconds: float | None = None
    decide_sigma_seconds: float | None = None
    breaker_open: bool = False
    known_limit: int | None = None
    usual_seconds: float | None = None
    why: str | None = None


CLINICS_A_PULSE: Final = 512


def pulse_key(worker_id: str, clinic_id: str) -> str:
    """The key of the record in which this worker speaks of this clinic: each speaks of some hundreds at most, so that
    a worker with ten thousand clinics repeats only what has changed, and no record grows too large.
    """
    chunk = number_of_clinic(clinic_id) // CLINICS_A_PULSE
    return f"{worker_id}#{chunk}" if chunk else worker_id


class Pulse(msgspec.Struct, frozen=True, kw_only=True, tag="pulse"):
    """What one worker last saw of some clinics (``pulse_key``); replaced on change, at most once a second.

    ``held_offsets``: by partition of booking.requests, the next offset this hold worker will read: everything
    before it is in PostgreSQL. ``eligibility_away``: to this confirm worker the eligibility system does not answer.
    """

    worker_id: str
    at: Moment
    clinics: dict[str, ClinicPulse] = {}
    held_offsets: dict[int, int] = {}
    eligibility_away: bool = False
    v: int = 1


class MapReport(msgspec.Struct, frozen=True, kw_only=True, tag="map_report"):
    """What one ingress knows of where clinics' records go; in ``clinic.pulse`` under ``worker_id``, which is its worker
    id and something that tells this run of it from others.

    ``directory_offset``: of clinic.directory it has read everything before, and all that it accepted knowing less is
    in booking.requests. On change, and repeated.
    """

    worker_id: str
    at: Moment
    directory_offset: int
    v: int = 1


PulseRecord = Pulse | MapReport
"""What ``clinic.pulse`` holds."""


class DirectoryEntry(msgspec.Struct, frozen=True, kw_only=True, tag="clinic"):
    clinic: Clinic
    v: int = 1


class AccessKey(msgspec.Struct, frozen=True, kw_only=True, tag="access_key"):
    """An API key as every ingress knows it: the secret's SHA-256, never the secret.

    ``owner_kind`` is app, clinic or operator; ``owner_id`` the app_id, clinic_id or operator's name.
    """

    key_id: str
    owner_kind: str
    owner_id: str
    secret_hash: bytes
    scopes: tuple[str, ...]
    expires_at: Moment | None = None
    revoked_at: Moment | None = None
    v: int = 1


Message = Command | Confirmation | BookingEvent | Pulse | MapReport | DirectoryEntry | AccessKey
M = TypeVar("M")

_AT_FIRST = (
    "book", "cancel", "reschedule", "closure", "probe", "moved", "confirmation",
    "event", "pulse", "map_report", "clinic", "access_key", "shortage",
)  # fmt: skip
VERSIONS: Final[Mapping[str, int]] = dict.fromkeys(_AT_FIRST, 1)

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
UPGRADES: Final[dict[tuple[str, int], Upgrade]] = {}
"""(type, version) to a function that makes the next version of the raw record."""

_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises: RecursionError for nesting a thousand deep."""

_encoder = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """The record's value."""
    return _encoder.encode(message)


class Reader(Generic[M]):
    """Reads one kind of record: ``Reader[Command](Command)(raw)``. Raises Unreadable, nothing else."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind)

    def __call__(self, raw: bytes | None) -> M:
        if raw is None:
            raise Unreadable("the record has no value")
        try:
            message = self._decoder.decode(raw)
            if message.v == VERSIONS[message.__struct_config__.tag]:
                return cast(M, message)
        except _MALFORMED:
            pass  # perhaps an older version: the slow way finds out, or says what is wrong
        return self._read_older(raw)

    def _read_older(self, raw: bytes) -> M:
        try:
            plain = msgspec.json.decode(raw)
            if not isinstance(plain, dict):
                raise Unreadable("the record is not a JSON object")
            return cast(M, msgspec.convert(_upgraded(plain), self._kind, str_keys=True))
        except _MALFORMED as error:
            raise Unreadable(str(error)) from error


def _upgraded(plain: dict[str, Any]) -> dict[str, Any]:
    tag, version = plain.get("type"), plain.get("v", 1)
    if not isinstance(tag, str) or tag not in VERSIONS:
        raise Unreadable(f"unknown type {tag!r}")
    if not isinstance(version, int) or not 1 <= version <= VERSIONS[tag]:
        raise Unreadable(f"{tag} version {version!r} is not one of 1 to {VERSIONS[tag]}")
    while version < VERSIONS[tag]:
        try:
            plain = UPGRADES[tag, version](plain)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise Unreadable(f"{tag} version {version} cannot be upgraded: {type(error).__name__}") from error
        version += 1
    return plain | {"v": version}
