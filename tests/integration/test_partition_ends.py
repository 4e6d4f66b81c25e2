"""Where partitions end when they are asked for."""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaError

from tests.stack import Kafka
from tests.support.log import until
from tests.support.world import settings_for
from waiting_room.kafka import Producer
from waiting_room.messages import Probe, encode
from waiting_room.partition_ends import PartitionEnds
from waiting_room.topics import BOOKING_REQUESTS


async def test_the_end_is_where_it_is_when_it_is_asked_for(fresh_kafka: Kafka) -> None:
    settings = settings_for(None, fresh_kafka)
    ends, finish = PartitionEnds(settings, BOOKING_REQUESTS), asyncio.Event()
    producer = Producer(settings)
    await producer.start()
    running = asyncio.create_task(ends.run(finish))
    try:
        await until(lambda: _answers(ends))
        before = await ends.of([0, 1])
        for partition in (1, 1):
            await (await producer.send(BOOKING_REQUESTS, partition, "0001", encode(Probe(sent_by="test"))))
        after = await ends.of([0, 1])
        assert after == {0: before[0], 1: before[1] + 2}
    finally:
        finish.set()
        await running
        await producer.stop()


async def _answers(ends: PartitionEnds) -> bool:
    try:
        await ends.of([0])
    except KafkaError:  # not connected yet
        return False
    return True
