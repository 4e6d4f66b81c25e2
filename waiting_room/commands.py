"""Commands: what callers ask for, as it waits in ``booking.requests`` for hold."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from waiting_room.domain.appointment import By, Reason

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""With an offset: a time without one is compared with none of ours."""


class Patient(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Health data: never logged, never a label, never in an event."""

    id: str
    contact: dict[str, str] | None = None
    locale: str | None = None


class TimeRange(msgspec.Struct, frozen=True, rename={"from_at": "from", "to_at": "to"}):
    """Half-open: starts in [from, to)."""

    from_at: Moment
    to_at: Moment


class Book(msgspec.Struct, frozen=True, kw_only=True, tag="book"):
    """Command: hold a seat and have the clinic confirm it. Exactly one of start_at and range is given.

    ``sealed`` is the patient, as JSON, under the intake key of that name (``intake_keys``); in records of version 1,
    and where it was opened, ``patient`` stands in its place.
    """

    booking_ref: str
    clinic_id: str
    app_id: str
    key_hash: bytes
    body_hash: bytes
    service_type: str
    accepted_at: Moment
    accept_by: Moment
    """A record appended later than this (broker's clock) is discarded: its caller was not told 202."""
    provider_id: str | None = None
    start_at: Moment | None = None
    range: TimeRange | None = None
    eta_p50: float | None = None
    eta_p90: float | None = None
    """What the caller was told: seconds until it is decided, in half and in nine tenths of all cases."""
    or_wait: bool = False
    """Where nothing that fits is free it waits for something to come free, instead of being rejected."""
    patient: Patient | None = None
    sealed: bytes | None = None
    intake_key: str | None = None
    v: int = 2


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """Command: cancel a booking, whether or not it was seen yet."""

    booking_ref: str
    clinic_id: str
    app_id: str
    requested_at: Moment
    accept_by: Moment
    by: By = By.PATIENT
    reason: Reason = Reason.PATIENT
    only_waiting: bool = False
    """Nothing is to happen to a booking that does not wait for a seat any more."""
    if_version: int | None = None
    """Nor to one that has another ``row_version`` by now."""
    v: int = 1


class Reschedule(msgspec.Struct, frozen=True, kw_only=True, tag="reschedule"):
    """Command: move a booking to another time. Exactly one of start_at and range is given; no provider: any will do.

    ``app_id`` is given where a patient asks. ``by`` the service: its clinic says that the slot it was given is gone;
    it goes to the next one that fits, and is rejected if there is none.
    """

    booking_ref: str
    clinic_id: str
    app_id: str | None
    key_hash: bytes
    requested_at: Moment
    accept_by: Moment
    provider_id: str | None = None
    start_at: Moment | None = None
    range: TimeRange | None = None
    by: By = By.PATIENT
    if_version: int | None = None
    """It is refused where the booking has another ``row_version`` by now."""
    v: int = 1


class Closure(msgspec.Struct, frozen=True, kw_only=True, tag="closure"):
    """Command: rebook, or cancel, what is booked at these providers in [from_at, to_at), which is blocked by now."""

    clinic_id: str
    closure_id: str
    provider_ids: tuple[str, ...]
    from_at: Moment
    to_at: Moment
    requested_at: Moment
    accept_by: Moment
    v: int = 1


class Shortage(msgspec.Struct, frozen=True, kw_only=True, tag="shortage"):
    """Command: rebook who is short of this product to where there are doses of it, the last to book first."""

    clinic_id: str
    product: str
    requested_at: Moment
    accept_by: Moment
    v: int = 1


class Probe(msgspec.Struct, frozen=True, kw_only=True, tag="probe"):
    """Written by ingress to find out whether the broker takes records again; read and ignored."""

    sent_by: str
    v: int = 1


class Moved(msgspec.Struct, frozen=True, kw_only=True, tag="moved"):
    """The last word of a clinic in its old partition, with which ``map_version`` begins: what was accepted under an
    older map stands before it, and hold has been waiting for it in the new partition.
    """

    clinic_id: str
    map_version: int
    to_partition: int
    v: int = 1


Command = Book | Cancel | Reschedule | Closure | Shortage | Probe | Moved
