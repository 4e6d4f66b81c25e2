"""What endpoints are told: the types of payloads, rendered from committed events, and the catalogue of event types.

A payload is thin unless its endpoint chose the full one: ids, status and times, nothing of the patient. ``sequence``
counts a booking's public events, 1, 2, 3 ...: whoever gets all types of them can put them in order and sees a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from waiting_room.domain.appointment import PUBLIC_EVENTS, By, EventType, Reason, Stage, Status
from waiting_room.domain.availability.rules import ClosureReason
from waiting_room.domain.delivery import DisabledReason
from waiting_room.messages import BookingEvent, OfferTold, Patient, Reader


class PayloadKind(StrEnum):
    THIN = "thin"
    FULL = "full"


class BookingData(msgspec.Struct, frozen=True, kw_only=True):
    """A booking after the event: ids, status and times. ``clinic_sequence`` counts the events of its clinic, public
    or not.
    """

    booking_ref: str
    clinic_id: str
    sequence: int
    clinic_sequence: int
    status: Status
    stage: Stage | None
    reason: Reason | None
    provider_id: str | None
    service_type: str | None
    start_at: datetime | None
    end_at: datetime | None
    revision: int


class FullBookingData(BookingData, frozen=True, kw_only=True):
    """The same with the patient, as the app named them; null once the patient's data was erased."""

    by: By | None
    ticket: int | None
    patient: Patient | None


class BookingPayload(msgspec.Struct, frozen=True, kw_only=True):
    """``timestamp``: when it happened."""

    type: str
    timestamp: datetime
    data: BookingData


class FullBookingPayload(msgspec.Struct, frozen=True, kw_only=True):
    """``timestamp``: when it happened."""

    type: str
    timestamp: datetime
    data: FullBookingData


class OfferedData(BookingData, frozen=True, kw_only=True):
    """With the seat that is held: whoever accepts the offer in time has it."""

    offer: OfferTold | None


class FullOfferedData(FullBookingData, frozen=True, kw_only=True):
    """The same with the patient."""

    offer: OfferTold | None


class OfferedPayload(BookingPayload, frozen=True, kw_only=True):
    """``timestamp``: when it happened."""

    data: OfferedData


class FullOfferedPayload(FullBookingPayload, frozen=True, kw_only=True):
    """``timestamp``: when it happened."""

    data: FullOfferedData


class Closed(NamedTuple):
    """A clinic closes in [from_at, to_at): these providers, None for all it has."""

    clinic_id: str
    closure_id: str
    provider_ids: tuple[str, ...] | None
    from_at: datetime
    to_at: datetime
    reason: ClosureReason


class ClosureData(msgspec.Struct, frozen=True, kw_only=True, rename={"from_at": "from", "to_at": "to"}):
    """``sequence`` counts the clinic's closures, 1, 2, 3 ...; without ``provider_ids`` the whole clinic is closed."""

    closure_id: str
    clinic_id: str
    sequence: int
    provider_ids: tuple[str, ...] | None
    from_at: datetime
    to_at: datetime
    reason: ClosureReason


class ClosurePayload(msgspec.Struct, frozen=True, kw_only=True):
    """``timestamp``: when the time was blocked."""

    type: str
    timestamp: datetime
    data: ClosureData


class EndpointData(msgspec.Struct, frozen=True, kw_only=True):
    endpoint_id: str


class DisabledEndpointData(msgspec.Struct, frozen=True, kw_only=True):
    endpoint_id: str
    reason: DisabledReason


class EndpointTest(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    timestamp: datetime
    data: EndpointData


class EndpointDisabled(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    timestamp: datetime
    data: DisabledEndpointData


TEST: Final = "endpoint.test"
DISABLED: Final = "endpoint.disabled"
CLOSED: Final = "clinic.closed"
OF_ENDPOINTS: Final = "endpoint"
"""Stands where deliveries have their clinic: these events are about the endpoint itself. No clinic has such an id."""
OF_CLOSURES: Final = "closure"
"""Stands there too: closures are numbered among those of all clinics."""


class EventKind(NamedTuple):
    """``name`` is the payloads' ``type``. ``chosen``: whether endpoints are told only if they ask. ``full``: what those
    are sent that chose full payloads.
    """

    name: str
    description: str
    chosen: bool
    thin: type[msgspec.Struct]
    full: type[msgspec.Struct]


_BOOKINGS: Final[Mapping[str, str]] = {
    "booking.accepted": "The booking was taken down; no seat is held yet.",
    "booking.held": "A seat is held; the clinic is still to confirm.",
    "booking.confirmed": "The clinic has confirmed.",
    "booking.rejected": "The booking cannot be; `reason` says why.",
    "booking.cancelled": "The booking was cancelled; `reason` says by whose wish.",
    "booking.cancel_refused": "The clinic's notice had passed; the booking stays as it was.",
    "booking.rescheduled": "The booking has another time or provider, and a new revision.",
    "booking.reschedule_failed": "The clinic would not have the other time; the booking stays as it was.",
    "booking.reschedule_refused": "The other time was not free; the booking stays as it was.",
    "booking.arrived": "The patient has arrived.",
    "booking.completed": "The appointment has taken place.",
    "booking.no_show": "The patient did not come.",
    "waitlist.joined": "Nothing was free; the booking waits for something to come free.",
    "waitlist.offered": "A seat has come free and is held for it until `offer.expires_at`: accept or decline it.",
    "waitlist.invited": "A seat has come free and is held for the first of several to accept it.",
    "waitlist.accepted": "The seat that was offered was accepted; the booking goes on as held.",
    "waitlist.declined": "The seat that was offered was declined; the booking waits on.",
    "waitlist.expired": "The offer was not answered in time; the booking waits on.",
    "waitlist.lost": "The seat is not there any more: another of those invited was faster; the booking waits on.",
}
"""Of every type that has words of its own; a type is in the catalogue from the day that some code emits it."""


WITH_OFFER: Final = frozenset({EventType.OFFERED, EventType.INVITED})
_PAYLOADS: Final[Mapping[bool, tuple[type[msgspec.Struct], type[msgspec.Struct]]]] = {
    False: (BookingPayload, FullBookingPayload),
    True: (OfferedPayload, FullOfferedPayload),
}


def _kinds() -> dict[str, EventKind]:
    kinds = [
        EventKind(event, _BOOKINGS.get(event, "See the booking."), True, *_PAYLOADS[event in WITH_OFFER])
        for event in sorted(PUBLIC_EVENTS)
    ]
    kinds.append(
        EventKind(
            CLOSED,
            "A clinic, or some of its providers, is closed for a while; what becomes of bookings, their events say.",
            True,
            ClosurePayload,
            ClosurePayload,
        )
    )
    kinds.append(
        EventKind(TEST, "Sent when an endpoint is made, and when asked for.", False, EndpointTest, EndpointTest)
    )
    kinds.append(
        EventKind(
            DISABLED,
            "Another endpoint of the same owner was switched off, because it is gone or fails too long.",
            False,
            EndpointDisabled,
            EndpointDisabled,
        )
    )
    return {kind.name: kind for kind in kinds}


CATALOGUE: Final[Mapping[str, EventKind]] = MappingProxyType(_kinds())
"""Every type an endpoint can be told of."""
CHOSEN: Final = tuple(kind.name for kind in CATALOGUE.values() if kind.chosen)
"""Those that endpoints filter by."""

_encode = msgspec.json.Encoder().encode
_read_event: Reader[BookingEvent] = Reader(BookingEvent)


def schema_of(kind: EventKind, payload: PayloadKind) -> dict[str, Any]:
    """JSON Schema (2020-12) of its payload, generated from the type that is sent."""
    schema = msgspec.json.schema(kind.full if payload is PayloadKind.FULL else kind.thin)
    name = str(schema.pop("$ref")).rpartition("/")[2]
    whole = schema["$defs"].pop(name)
    whole["properties"]["type"] = {"const": kind.name}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "$defs": schema["$defs"]}


def render(record: str, sequence: int, payload: PayloadKind, patient: Patient | None = None) -> str:
    """The body that tells of an event, from its stored ``record``. The same event gives the same body for every
    attempt, but for a patient who was erased meanwhile. Raises Unreadable.
    """
    event = _read_event(record.encode())
    values: dict[str, Any] = {
        "booking_ref": event.booking_ref,
        "clinic_id": event.clinic_id,
        "sequence": sequence,
        "clinic_sequence": event.seq,
        "status": event.status,
        "stage": event.stage,
        "reason": event.reason,
        "provider_id": event.provider_id,
        "service_type": event.service_type,
        "start_at": event.start_at,
        "end_at": event.end_at,
        "revision": event.revision,
    }
    full: dict[str, Any] = {"by": event.by, "ticket": event.ticket, "patient": patient}
    if event.event in WITH_OFFER:
        return _encode(_offered(event, values, full if payload is PayloadKind.FULL else None)).decode()
    if payload is PayloadKind.FULL:
        data = FullBookingData(**values, **full)
        return _encode(FullBookingPayload(type=event.event, timestamp=event.at, data=data)).decode()
    return _encode(BookingPayload(type=event.event, timestamp=event.at, data=BookingData(**values))).decode()


def _offered(event: BookingEvent, values: dict[str, Any], full: dict[str, Any] | None) -> msgspec.Struct:
    when: dict[str, Any] = {"type": event.event, "timestamp": event.at}
    if full is not None:
        return FullOfferedPayload(**when, data=FullOfferedData(**values, **full, offer=event.offer))
    return OfferedPayload(**when, data=OfferedData(**values, offer=event.offer))


def payload_of_closure(closed: Closed, sequence: int, at: datetime) -> str:
    """The body that tells of a closure; the same for all that are told."""
    data = ClosureData(sequence=sequence, **closed._asdict())
    return _encode(ClosurePayload(type=CLOSED, timestamp=at, data=data)).decode()


def payload_of_test(endpoint_id: str, at: datetime) -> str:
    """The body of a test event."""
    return _encode(EndpointTest(type=TEST, timestamp=at, data=EndpointData(endpoint_id=endpoint_id))).decode()


def payload_of_disabled(endpoint_id: str, reason: DisabledReason, at: datetime) -> str:
    """The body that tells an owner's other endpoints."""
    data = DisabledEndpointData(endpoint_id=endpoint_id, reason=reason)
    return _encode(EndpointDisabled(type=DISABLED, timestamp=at, data=data)).decode()


def webhook_id(endpoint_id: str, clinic_id: str, seq: int) -> str:
    """``webhook-id``: the same for every attempt and every replay, so that a receiver can tell repeats."""
    return f"{clinic_id}-{seq}-{endpoint_id}"


def parse_webhook_id(text: str) -> tuple[str, str, int] | None:
    """(endpoint_id, clinic_id, seq) of a webhook-id; None if it is none."""
    clinic_id, _, rest = text.partition("-")
    number, _, endpoint_id = rest.partition("-")
    if not (number.isascii() and number.isdigit() and len(number) < 19 and endpoint_id):
        return None
    return endpoint_id, clinic_id, int(number)
