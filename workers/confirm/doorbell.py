"""From records of clinic.confirmations to rings for the lanes."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from aiokafka import ConsumerRecord

from waiting_room.messages import Confirmation, Probe, Reader, Unreadable, encode
from waiting_room.topics import CLINIC_CONFIRMATIONS_PRIORITY
from workers.pacing.work import Rank, Ring

_read: Reader[Confirmation | Probe] = Reader(Confirmation | Probe)


def ring_of(record: ConsumerRecord) -> Ring | None:
    """The ring, or None for a probe. Raises Unreadable."""
    message = _read(record.value)
    if isinstance(message, Probe):
        return None
    if record.key is None or record.key.decode(errors="replace") != message.clinic_id:
        raise Unreadable("the record's key is not its clinic")
    if not message.booking_ref.startswith(message.clinic_id):
        raise Unreadable("the booking_ref is another clinic's")
    return Ring(
        clinic_id=message.clinic_id,
        booking_ref=message.booking_ref,
        rank=Rank.PRIORITY if record.topic == CLINIC_CONFIRMATIONS_PRIORITY else Rank.NORMAL,
        partition=(record.topic, record.partition),
        offset=record.offset,
        record=record,
    )


def record_of(ring: Ring) -> ConsumerRecord:
    """A doorbell for a booking that was found in PostgreSQL: sent back from the dead letters it rings again."""
    topic, partition = ring.partition
    doorbell = Confirmation(
        booking_ref=ring.booking_ref, clinic_id=ring.clinic_id, revision=1, ticket=0, held_at=datetime.now(UTC)
    )
    value, key = encode(doorbell), ring.clinic_id.encode()
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=ring.offset,
        timestamp=int(time.time() * 1_000),
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key),
        serialized_value_size=len(value),
        headers=(),
    )
