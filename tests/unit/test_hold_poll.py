"""Reading in lines: batches are as full as what was read allows, and a partition's records stay in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from waiting_room.telemetry.lag import ConsumerLag
from workers.hold.poll import LINES, Poll
from workers.pacing.offsets import Offsets

TOPIC = "booking.requests"
ALL_IN_ONE_LINE = [LINES * number for number in range(7)]


class Consumer:
    """Hands out what it was given, one piece a poll, then says that all is read."""

    def __init__(self, polls: Sequence[dict[TopicPartition, list[ConsumerRecord]]], finish: asyncio.Event) -> None:
        self._polls = list(polls)
        self._finish = finish
        self.committed: dict[TopicPartition, int] = {}

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[ConsumerRecord]]:
        if self._polls:
            return self._polls.pop(0)
        self._finish.set()
        return {}

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(TOPIC, partition) for partition in ALL_IN_ONE_LINE}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed.update(offsets)

    def __getattr__(self, name: str) -> Any:  # what lag asks of a consumer
        return lambda *_: None


class Waiting(Consumer):
    """Lets the others have a turn meanwhile, as a real one does."""

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[ConsumerRecord]]:
        await asyncio.sleep(0)
        return await super().getmany(timeout_ms=timeout_ms, max_records=max_records)


def record(partition: int, offset: int) -> ConsumerRecord:
    return ConsumerRecord(TOPIC, partition, offset, 0, 1, b"0001", b"", None, 4, 0, ())


async def batches_of(polls: Sequence[dict[TopicPartition, list[ConsumerRecord]]], batch_max: int) -> list[list[Any]]:
    """(partition, offset) of what was taken at once, batch by batch; everything was committed behind it."""
    finish = asyncio.Event()
    consumer, offsets = Consumer(polls, finish), Offsets()
    offsets.assigned([(TOPIC, partition) for partition in ALL_IN_ONE_LINE])
    taken: list[list[Any]] = []

    async def take(records: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
        taken.append([(each.partition, each.offset) for each in records])
        for _ in range(20):
            await asyncio.sleep(0)  # the next are read meanwhile
        for each in records:
            offsets.finished((each.topic, each.partition), each.offset)
        return []

    await Poll(consumer, take, offsets, batch_max, ConsumerLag("hold")).run(finish)
    read = {where: records[-1].offset + 1 for poll in polls for where, records in poll.items() if records}
    assert consumer.committed == read
    return taken


async def test_what_was_read_bit_by_bit_is_taken_in_full_batches() -> None:
    polls = [
        {TopicPartition(TOPIC, partition): [record(partition, offset) for offset in range(3)]}
        for partition in ALL_IN_ONE_LINE
    ]
    taken = await batches_of(polls, 5)
    assert sum(len(batch) for batch in taken) == 3 * len(ALL_IN_ONE_LINE)
    assert all(len(batch) == 5 for batch in taken[1:-1])  # the first is taken while nothing else is there
    for partition in ALL_IN_ONE_LINE:
        assert [offset for batch in taken for each, offset in batch if each == partition] == [0, 1, 2]


async def test_no_batch_is_larger_than_it_may_be() -> None:
    taken = await batches_of([{TopicPartition(TOPIC, 0): [record(0, offset) for offset in range(23)]}], 10)
    assert [len(batch) for batch in taken] == [10, 10, 3]


async def test_a_line_that_dies_is_noticed_though_nothing_more_is_read_for_it() -> None:
    """What it had taken was held only after the next booking at one of its clinics."""
    finish = asyncio.Event()
    consumer, offsets = Waiting([{TopicPartition(TOPIC, 0): [record(0, 0)]}, *[{}] * 20], finish), Offsets()
    offsets.assigned([(TOPIC, 0)])

    async def take(_: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
        raise KafkaError

    with pytest.raises(KafkaError):
        await Poll(consumer, take, offsets, 10, ConsumerLag("hold")).run(finish)
    assert not finish.is_set()
    assert consumer.committed == {}
