"""Reads ``booking.requests`` from its beginning to where it ended when asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient

from waiting_room.audit.facts import Appended, Asked, Log
from waiting_room.dead_letters import APPENDED_AT, append_time_of
from waiting_room.kafka import connection
from waiting_room.messages import Book, Cancel, Closure, Command, Moved, Probe, Reader, Shortage, Unreadable
from waiting_room.settings import Settings
from waiting_room.topics import BOOKING_REQUESTS
from waiting_room.whole_topics import read_whole

HOLD_GROUP = "hold"
"""The consumer group hold joins."""

_read: Reader[Command] = Reader(Command)


@dataclass(slots=True)
class Read:
    """What the log holds, by clinic."""

    by_clinic: dict[str, Log] = field(default_factory=dict)
    trimmed: set[int] = field(default_factory=set)
    """Partitions of which retention has deleted a part."""
    refs_of_key: dict[tuple[str, bytes], list[str]] = field(default_factory=dict)
    records: int = 0
    late: int = 0
    """Appended after accept_by: their callers were told no 202, and hold discards them."""
    unreadable: int = 0
    """Hold puts them aside; callers were told nothing of them."""

    def of(self, clinic_id: str, partitions: Collection[int]) -> Log:
        """A clinic's part, empty if it has none. ``partitions``: where it is and ever was; none: not known."""
        log = self.by_clinic.get(clinic_id, Log())
        log.whole = self.trimmed.isdisjoint(partitions) if partitions else not self.trimmed
        return log

    @property
    def same_key(self) -> Iterator[list[str]]:
        """The refs of each key that was sent to more than one clinic, or under more than one ref secret."""
        return (refs for refs in self.refs_of_key.values() if len(refs) > 1)


async def committed(settings: Settings) -> dict[int, int]:
    """By partition, what hold has told Kafka it has stored. Asked before the snapshot, all of it is in there."""
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(HOLD_GROUP)
    finally:
        await admin.close()
    return {where.partition: at.offset for where, at in offsets.items() if where.topic == BOOKING_REQUESTS}


async def read(settings: Settings, held_until: Mapping[int, int]) -> Read:
    """``held_until``: by partition, the offset before which everything is in the database. Raises KafkaError."""
    found = Read()
    async for where, begin, records in read_whole(settings, BOOKING_REQUESTS):
        if begin > 0:
            found.trimmed.add(where.partition)
        for record in records:
            _note(found, record, held_until.get(where.partition, 0))
    return found


def _note(found: Read, record: ConsumerRecord, held_until: int) -> None:
    found.records += 1
    try:
        command = _read(record.value)
    except Unreadable:
        found.unreadable += 1
        return
    if isinstance(command, Probe):
        return
    if record.key != command.clinic_id.encode():
        found.unreadable += 1
        return
    if isinstance(command, Moved):
        left = found.by_clinic.setdefault(command.clinic_id, Log()).left
        left[record.partition] = max(left.get(record.partition, 0), command.map_version)
        return
    if isinstance(command, Closure | Shortage):
        found.by_clinic.setdefault(command.clinic_id, Log()).closed = True
        return
    ref = command.booking_ref
    if not ref.startswith(command.clinic_id):
        found.unreadable += 1
        return
    log = found.by_clinic.setdefault(command.clinic_id, Log())
    in_time = append_time_of(record) <= command.accept_by
    found.late += not in_time
    if not isinstance(command, Book):
        if in_time and isinstance(command, Cancel):
            log.cancelled.add(ref)
        return
    asked = log.books.get(ref)
    if asked is None:
        asked = log.books[ref] = Asked(ref, command.app_id, command.key_hash)
    redriven = any(name == APPENDED_AT for name, _ in record.headers)
    after = log.left.get(record.partition, 0)
    asked.records.append(
        Appended(record.partition, record.offset, in_time, redriven, record.offset < held_until, after)
    )
    if in_time:
        refs = found.refs_of_key.setdefault((command.app_id, command.key_hash), [])
        if ref not in refs:
            refs.append(ref)


def offsets_in_database(consumed: Mapping[int, int], committed_before: Mapping[int, int]) -> dict[int, int]:
    """Before which offset everything is in the snapshot, by partition.

    The lower of both: hold's own account can be ahead while a batch is split, Kafka's after PostgreSQL was restored.
    """
    return {partition: min(at, committed_before.get(partition, 0)) for partition, at in consumed.items()}
