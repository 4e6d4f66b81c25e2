"""Puts aside a record that cannot be processed, so that its partition moves on and nothing of it is lost.

The dead-letter topic gets the original key and value byte for byte, the original headers, and beside them why and
whence it came. A record sent back from there ("redriven") keeps the time of its first append in a header.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from aiokafka import ConsumerRecord

from waiting_room.kafka import Producer
from waiting_room.telemetry import metrics
from waiting_room.topics import (
    BOOKING_EVENTS,
    BOOKING_REQUESTS,
    CLINIC_CONFIRMATIONS,
    CLINIC_CONFIRMATIONS_PRIORITY,
    TOPICS,
    dead_letters_of,
)

log = structlog.get_logger(__name__)

REASON: Final = "dead-letter-reason"
SOURCE_TOPIC: Final = "dead-letter-source-topic"
SOURCE_PARTITION: Final = "dead-letter-source-partition"
SOURCE_OFFSET: Final = "dead-letter-source-offset"
APPENDED_AT: Final = "original-append-time"
"""RFC 3339, UTC: when the record was first appended, by the broker's clock where the topic has it."""

_OURS: Final = frozenset({REASON, SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET, APPENDED_AT})
_REASON_MAX: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PARTITIONS: Final = {topic.name: topic.partitions for topic in TOPICS}

for _topic in (BOOKING_REQUESTS, CLINIC_CONFIRMATIONS, CLINIC_CONFIRMATIONS_PRIORITY, BOOKING_EVENTS):
    metrics.DEAD_LETTERS.labels(_topic)  # from nothing to one is no increase, from zero it is


async def put_aside(producer: Producer, record: ConsumerRecord, reason: str) -> None:
    """Write ``record`` to the dead-letter topic of its topic and wait for the acknowledgement.

    ``reason`` is for a person, in one line, without patient data. Raises KafkaError; then the record must not be
    counted as processed.
    """
    topic = dead_letters_of(record.topic)
    partition = record.partition % _PARTITIONS[topic]
    value = b"" if record.key is None and record.value is None else record.value  # a record needs one of the two
    sent = await producer.send(topic, partition, record.key, value, headers_of(record, reason))
    await sent
    metrics.DEAD_LETTERS.labels(record.topic).inc()
    log.warning(
        "dead_letter", topic=record.topic, partition=record.partition, offset=record.offset, reason=_one_line(reason)
    )


def headers_of(record: ConsumerRecord, reason: str) -> list[tuple[str, bytes]]:
    """The record's own headers, then ours. Of a record that failed before, ours are replaced, not repeated."""
    kept = [(name, value) for name, value in record.headers if name not in _OURS]
    return [
        *kept,
        (REASON, _one_line(reason).encode()),
        (SOURCE_TOPIC, record.topic.encode()),
        (SOURCE_PARTITION, str(record.partition).encode()),
        (SOURCE_OFFSET, str(record.offset).encode()),
        (APPENDED_AT, append_time_of(record).isoformat(timespec="milliseconds").encode()),
    ]


def append_time_of(record: ConsumerRecord) -> datetime:
    """When the record was first appended, to the millisecond; a redriven one says so itself.

    A header that is no time is not believed: the record then counts as appended when the broker says.
    """
    for name, value in record.headers:
        if name == APPENDED_AT and (said := _time_in(value)) is not None:
            return said
    return _EPOCH + timedelta(milliseconds=record.timestamp)


def _time_in(header: bytes | None) -> datetime | None:
    try:
        said = datetime.fromisoformat((header or b"").decode())
        return said.astimezone(UTC) if said.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _one_line(reason: str) -> str:
    return " ".join(reason.split())[:_REASON_MAX]
