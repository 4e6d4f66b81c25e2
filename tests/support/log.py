"""What stands in Kafka's log, and waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from tests.stack import Kafka


async def everything_in(kafka: Kafka, topic: str) -> list[ConsumerRecord]:
    """All records of a topic as it is now, each partition's in order; where it is compacted, some are gone by then."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        found: list[ConsumerRecord] = []
        while any([await consumer.position(where) < end for where, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found.extend(records)
        return found
    finally:
        await consumer.stop()


async def append(kafka: Kafka, topic: str, partition: int, key: str, *values: bytes) -> None:
    """Append these records and wait until they are there."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, key=key.encode(), partition=partition)
    finally:
        await producer.stop()


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Wait for something to become true; for long, since machines are slow and only what fails waits. Raises
    TimeoutError.
    """
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.05)
