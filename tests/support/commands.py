"""Commands as ingress would append them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from aiokafka import ConsumerRecord

from tests.support.world import SERVICE, ClinicSpec, tomorrow
from waiting_room.domain.booking_ref import RefSecrets, key_hash
from waiting_room.messages import Book, Cancel, Message, Patient, Reschedule, encode
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold.read import Appended, command_of

REFS = RefSecrets(b"a test's secret for booking refs!")
APP = "app"
IN_TIME = timedelta(hours=1)
"""Until when commands count: none is discarded because a machine is slow, unless that is what a test is about."""


def book(spec: ClinicSpec, key: str, **changes: Any) -> Book:
    """A booking of the clinic's first provider, tomorrow at nine unless changed."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "booking_ref": REFS.derive(spec.clinic_id, APP, key),
        "clinic_id": spec.clinic_id,
        "app_id": APP,
        "key_hash": key_hash(APP, key),
        "body_hash": sha256(key.encode()).digest()[:16],
        "provider_id": spec.provider_id,
        "service_type": SERVICE,
        "patient": Patient(id=f"patient of {key}"),
        "start_at": None if changes.get("range") else tomorrow(),
        "accepted_at": now,
        "accept_by": now + IN_TIME,
    }
    return Book(**{**values, **changes})


def cancel(command: Book, **changes: Any) -> Cancel:
    """The cancel of that booking."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "booking_ref": command.booking_ref,
        "clinic_id": command.clinic_id,
        "app_id": command.app_id,
        "requested_at": now,
        "accept_by": now + IN_TIME,
    }
    return Cancel(**{**values, **changes})


def reschedule(command: Book, key: str, **changes: Any) -> Reschedule:
    """A wish to move that booking: to tomorrow at ten unless changed."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "booking_ref": command.booking_ref,
        "clinic_id": command.clinic_id,
        "app_id": command.app_id,
        "key_hash": key_hash(APP, key),
        "requested_at": now,
        "accept_by": now + IN_TIME,
        "start_at": None if changes.get("range") else tomorrow(10),
    }
    return Reschedule(**{**values, **changes})


def record(
    message: Message | bytes, *, key: str = "", offset: int = 0, partition: int = 0, at: datetime | None = None
) -> ConsumerRecord:
    """A record as the consumer would hand it over."""
    value = message if isinstance(message, bytes) else encode(message)
    moment = at or datetime.now(UTC)
    raw_key = (key or getattr(message, "clinic_id", "")).encode()
    return ConsumerRecord(
        topic=BOOKING_REQUESTS,
        partition=partition,
        offset=offset,
        timestamp=int(moment.timestamp() * 1000),
        timestamp_type=1,
        key=raw_key,
        value=value,
        checksum=None,
        serialized_key_size=len(raw_key),
        serialized_value_size=len(value),
        headers=(),
    )


def appended(*commands: Book | Cancel | Reschedule, first_offset: int = 0, partition: int = 0) -> list[Appended]:
    """These commands one after the other in one partition."""
    items = [
        command_of(record(command, offset=first_offset + number, partition=partition))
        for number, command in enumerate(commands)
    ]
    return [item for item in items if item is not None]
