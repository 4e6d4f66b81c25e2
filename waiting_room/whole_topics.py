"""Reads topics from their beginning to where they end when asked, as no member of any group."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka import ConsumerRecord, TopicPartition

from waiting_room.kafka import assigned, lone_consumer, stop_in_time
from waiting_room.settings import Settings


async def read_whole(
    settings: Settings, *topics: str
) -> AsyncIterator[tuple[TopicPartition, int, list[ConsumerRecord]]]:
    """Batches of (partition, the first offset it still has, records); a partition's records in order.

    Every partition comes at least once, be it without records. What is appended meanwhile is left out. Raises
    KafkaError, also if there is no such topic.
    """
    consumer = lone_consumer(settings, *topics, fetch_max_wait_ms=100)
    await consumer.start()
    try:
        partitions = assigned(consumer, *topics)
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        for where in partitions:
            yield where, begins[where], []
        left = {where for where in partitions if begins[where] < ends[where]}
        while left:
            for where, records in (await consumer.getmany(*left, timeout_ms=500)).items():
                yield where, begins[where], [record for record in records if record.offset < ends[where]]
            left = {where for where in left if await consumer.position(where) < ends[where]}
    finally:
        await stop_in_time(consumer)
