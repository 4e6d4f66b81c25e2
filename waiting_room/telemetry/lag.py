"""How far a consumer group is behind, in seconds, by partition: the age of the oldest record not committed.

By the records' own times, so that it means the same at any rate. Of each batch that is read its first record stands
for it: what is told is at most one batch too old, and costs nothing a record. What was not read yet is younger than
what was, in each partition; a consumer that reads nothing at all tells by ``waiting_room_committed_records_total``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord

from waiting_room.telemetry import metrics

Partition = tuple[str, int]
"""(topic, number)"""


class _Batch(NamedTuple):
    last_offset: int
    appended_at: float
    """Of its first record: seconds of Unix time."""


class ConsumerLag:
    """One group's member. Say what was read, what was committed and what is ours; the gauges are read when asked."""

    def __init__(self, group: str, clock: Callable[[], float] = time.time) -> None:
        self._group = group
        self._clock = clock
        self._unfinished: dict[Partition, deque[_Batch]] = {}
        self._committed: dict[Partition, int] = {}
        self._read: dict[Partition, int] = {}
        self._told: set[Partition] = set()
        metrics.UNCOMMITTED.labels(group).set_function(lambda: self.uncommitted)

    def read(self, polled: Mapping[Any, Sequence[ConsumerRecord]]) -> None:
        """These were read now, as ``getmany`` gives them: by partition, in order."""
        for where, records in polled.items():
            if not records:
                continue
            partition, first, last = tuple(where), records[0], records[-1]
            self._committed.setdefault(partition, first.offset)
            self._read[partition] = max(self._read.get(partition, 0), last.offset + 1)
            self._unfinished.setdefault(partition, deque()).append(_Batch(last.offset, first.timestamp / 1_000))

    def committed(self, offsets: Mapping[Any, int]) -> None:
        """By partition, the next offset to be read after a crash."""
        for where, offset in offsets.items():
            partition = tuple(where)
            before = self._committed.get(partition, offset)
            metrics.COMMITTED.labels(self._group).inc(max(offset - before, 0))
            self._committed[partition] = offset
            batches = self._unfinished.get(partition, deque())
            while batches and batches[0].last_offset < offset:
                batches.popleft()

    def assigned(self, assignment: Collection[Any]) -> None:
        """These partitions are ours, and no others; to be said now and then."""
        ours = {tuple(where) for where in assignment}
        if ours == self._told:
            return
        for known in (self._unfinished, self._committed, self._read):
            for partition in known.keys() - ours:
                known.pop(partition)
        for topic, number in self._told - ours:
            metrics.CONSUMER_LAG.remove(self._group, topic, str(number))
        for topic, number in ours - self._told:
            lag = metrics.CONSUMER_LAG.labels(self._group, topic, str(number))
            lag.set_function(partial(self.seconds, (topic, number)))
        self._told = ours

    def seconds(self, partition: Partition) -> float:
        """How old the oldest record is that is not committed; 0 if there is none."""
        batches = self._unfinished.get(partition)
        return round(max(self._clock() - batches[0].appended_at, 0.0), 3) if batches else 0.0

    @property
    def uncommitted(self) -> int:
        """Records read and not committed, of all partitions."""
        return sum(read - self._committed.get(partition, read) for partition, read in self._read.items())
