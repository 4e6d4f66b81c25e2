"""The durable producer on a real broker: batches keep order, whatever their size."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from devstack.kafka_server import KafkaServer
from tests.stack import READY_SECONDS, Kafka, server_folder
from tests.support.log import everything_in, until
from tests.support.world import settings_for
from waiting_room import topics, topics_admin
from waiting_room.kafka import Producer


async def test_batches_keep_the_order_of_each_partition(fresh_kafka: Kafka) -> None:
    """Together larger than one batch and one request, small and large records mixed, two calls in a row."""
    producer = Producer(settings_for(None, fresh_kafka))
    await producer.start()
    try:
        records = [
            (topics.BOOKING_EVENTS, number % 3, f"key {number % 3}", b"%06d" % number + b"x" * (number % 40 * 1_000))
            for number in range(200)
        ]
        await producer.send_all(records[:120])
        await producer.send_all(records[120:])
        await producer.send_all([])
    finally:
        await producer.stop()
    found: dict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    for record in await everything_in(fresh_kafka, topics.BOOKING_EVENTS):
        found[record.partition].append((record.key, record.value))
    for partition in range(3):
        assert found[partition] == [(key.encode(), value) for _, where, key, value in records if where == partition]


async def test_a_record_the_broker_refuses_is_an_error_and_the_producer_is_replaced(fresh_kafka: Kafka) -> None:
    producer = Producer(settings_for(None, fresh_kafka))
    await producer.start()
    try:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_all([(topics.BOOKING_EVENTS, 0, "key", b"x" * 2_000_000)])

        async def replaced() -> bool:
            return producer.started

        await until(replaced)
        await producer.send_all([(topics.BOOKING_EVENTS, 0, "key", b"next")])
    finally:
        await producer.stop()
    assert [record.value for record in await everything_in(fresh_kafka, topics.BOOKING_EVENTS)] == [b"next"]


async def test_it_can_be_stopped_while_it_is_being_replaced(fresh_kafka: Kafka) -> None:
    producer = Producer(settings_for(None, fresh_kafka))
    await producer.start()
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_all([(topics.BOOKING_EVENTS, 0, "key", b"x" * 2_000_000)])
    assert not producer.started
    await producer.stop()  # an unclosed connection would fail the test run


async def test_whoever_waits_for_a_producer_that_is_given_up_is_told(server_folders: None) -> None:
    """The broker is frozen: nothing can be flushed, and the record's fate is unknown."""
    server = KafkaServer(server_folder("kafka"), heap="256m", ready_timeout_seconds=READY_SECONDS)
    await server.start()
    kafka = Kafka(server.bootstrap_servers)
    await topics_admin.ensure(settings_for(None, kafka))
    producer = Producer(settings_for(None, kafka))
    await producer.start()
    try:
        await producer.send_all([(topics.BOOKING_EVENTS, 0, "key", b"before")])
        server.freeze()
        flying = await producer.send(topics.BOOKING_EVENTS, 0, "key", b"flying")
        waiting = await producer.send(topics.BOOKING_EVENTS, 1, "key", b"waiting")
        await producer.stop(0.5)
        for acknowledgement in (flying, waiting):
            async with asyncio.timeout(60):
                with pytest.raises(KafkaError):
                    await acknowledgement
    finally:
        server.thaw()
        await server.stop()
