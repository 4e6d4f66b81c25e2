"""The dead-letter topics as a person works through them: what waits there, and what became of it.

Nothing is taken out of a dead-letter topic but by its retention. What was redriven or discarded is noted by a mark:
a record without a value behind it in the same partition, so that it outlives what it speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from aiokafka import ConsumerRecord, TopicPartition

from waiting_room.dead_letters import (
    APPENDED_AT,
    REASON,
    SOURCE_OFFSET,
    SOURCE_PARTITION,
    SOURCE_TOPIC,
    append_time_of,
)
from waiting_room.kafka import Producer
from waiting_room.settings import Settings
from waiting_room.topics import TOPICS
from waiting_room.whole_topics import read_whole

MARK_OF: Final = "dead-letter-mark-of"
"""The offset, in the mark's own partition, of the record that was dealt with."""
OUTCOME: Final = "dead-letter-outcome"
_MARK_KEY: Final = b"mark"
_TOPICS: Final = tuple(topic.name for topic in TOPICS if topic.name.endswith(".dlq"))
_NOT_THE_SENDERS: Final = frozenset({REASON, SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET, APPENDED_AT})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Outcome(StrEnum):
    REDRIVEN = "redriven"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was put aside. ``key``, ``value`` and ``headers`` are the original ones.

    ``source_topic`` and ``source_partition`` are None on a record that some other program has written.
    """

    topic: str
    partition: int
    offset: int
    put_aside_at: datetime
    appended_at: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    reason: str
    source_topic: str | None
    source_partition: int | None
    source_offset: int | None
    outcome: Outcome | None = None

    @property
    def name(self) -> str:
        """``topic/partition/offset``: what a person calls it by."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def has_source(self) -> bool:
        """Whether it says where it came from."""
        return self.source_topic is not None and self.source_partition is not None


async def read(settings: Settings) -> list[DeadLetter]:
    """Everything in the dead-letter topics now, oldest first, with what became of it. Raises KafkaError."""
    found: dict[tuple[TopicPartition, int], DeadLetter] = {}
    async for where, _, records in read_whole(settings, *_TOPICS):
        for record in records:
            _take(found, where, record)
    return sorted(found.values(), key=lambda letter: (letter.put_aside_at, letter.name))


async def redrive(producer: Producer, letter: DeadLetter) -> None:
    """Send it back to where it came from, with the time of its first append, then mark it. Raises KafkaError.

    Interrupted in between it is sent back again next time; every reader of ours takes a record twice for one.
    """
    if letter.source_topic is None or letter.source_partition is None:
        raise ValueError(f"{letter.name} does not say where it came from")
    headers = [*letter.headers, (APPENDED_AT, letter.appended_at.isoformat(timespec="milliseconds").encode())]
    await (await producer.send(letter.source_topic, letter.source_partition, letter.key, letter.value, headers))
    await _mark(producer, letter, Outcome.REDRIVEN)


async def discard(producer: Producer, letter: DeadLetter) -> None:
    """Mark it as done with. Raises KafkaError."""
    await _mark(producer, letter, Outcome.DISCARDED)


async def _mark(producer: Producer, letter: DeadLetter, outcome: Outcome) -> None:
    headers = [(MARK_OF, str(letter.offset).encode()), (OUTCOME, outcome.encode())]
    await (await producer.send(letter.topic, letter.partition, _MARK_KEY, None, headers))


def _take(found: dict[tuple[TopicPartition, int], DeadLetter], where: TopicPartition, record: ConsumerRecord) -> None:
    ours = {name: value.decode(errors="replace") for name, value in record.headers if value is not None}
    if MARK_OF not in ours:
        found[where, record.offset] = _letter_of(record, ours)
        return
    marked = where, _number(ours[MARK_OF])
    if marked in found:  # or retention has taken it
        found[marked] = replace(found[marked], outcome=Outcome(ours[OUTCOME]))


def _letter_of(record: ConsumerRecord, ours: dict[str, str]) -> DeadLetter:
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        put_aside_at=_EPOCH + timedelta(milliseconds=record.timestamp),
        appended_at=append_time_of(record),
        key=record.key,
        value=record.value,
        headers=tuple((name, value) for name, value in record.headers if name not in _NOT_THE_SENDERS),
        reason=ours.get(REASON, ""),
        source_topic=ours.get(SOURCE_TOPIC),
        source_partition=_number(ours.get(SOURCE_PARTITION)),
        source_offset=_number(ours.get(SOURCE_OFFSET)),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
