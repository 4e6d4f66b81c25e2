"""Bookings and events as the Journal writes them: the values of their rows, in the order of the columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from waiting_room.messages import BookingEvent
from waiting_room.store.booking import Booking

_record = msgspec.json.Encoder()
NEW_COLUMNS = (
    "clinic_id", "booking_ref", "app_id", "ticket", "status", "stage", "clinic_state", "reason", "by", "row_version",
    "body_hash", "provider_id", "seat", "service_type", "start_at", "end_at", "patient_id", "patient", "accepted_at",
    "held_at", "decided_at", "hold_until", "decide_by", "next_attempt_at", "eta_p50", "eta_p90", "revision",
    "moving_to", "doses", "range_to",
)  # fmt: skip
EVENT_COLUMNS = ("clinic_id", "seq", "booking_ref", "event", "at", "record")


def columns(values: Any, items: Iterable[Any]) -> list[tuple[Any, ...]]:
    return list(zip(*map(values, items), strict=True))


def new_values(b: Booking) -> tuple[Any, ...]:
    state = b.known_state
    return (
        b.clinic_id, b.booking_ref, b.app_id, b.ticket, state.status, state.stage, state.clinic_state, state.reason,
        state.by, b.row_version, b.body_hash, b.provider_id, b.seat, b.service_type, b.start_at, b.end_at,
        b.patient_id, b.patient, b.accepted_at, b.held_at, b.decided_at, b.hold_until, b.decide_by, b.next_attempt_at,
        b.eta_p50, b.eta_p90, state.revision, state.moving_to, b.doses,
        b.range_to,
    )  # fmt: skip


def changed_values(b: Booking) -> tuple[Any, ...]:
    state = b.known_state
    return (
        b.clinic_id, b.booking_ref, state.status, state.stage, state.clinic_state, state.reason, state.by,
        b.row_version, b.decided_at, b.next_attempt_at, b.attempts, b.clinic_booking_id, state.moving_to,
        state.revision,
    )  # fmt: skip


def placed_values(b: Booking) -> tuple[Any, ...]:
    return (
        *b.key, b.provider_id, b.seat, b.start_at, b.end_at, b.doses, b.held_at, b.hold_until, b.decide_by,
        b.offer_accepted_at,
    )  # fmt: skip


def moved_values(b: Booking) -> tuple[Any, ...]:
    return (*b.key, b.provider_id, b.seat, b.start_at, b.end_at)


def event_values(event: BookingEvent) -> tuple[Any, ...]:
    return (
        event.clinic_id,
        event.seq,
        event.booking_ref,
        event.event,
        event.at,
        _record.encode(event).decode(),
    )
