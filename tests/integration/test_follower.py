"""A follower hands on what is published, whatever becomes of the consumer that it reads with."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.stack import Kafka
from tests.support.confirming import until
from tests.support.world import settings_for
from waiting_room.follower import Follower
from waiting_room.kafka import Producer
from waiting_room.topics import INTAKE_KEYS


async def test_a_reader_that_stands_still_is_replaced(fresh_kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(None, fresh_kafka)
    stuck: list[AIOKafkaConsumer] = []
    getmany = AIOKafkaConsumer.getmany

    async def standing_still(consumer: AIOKafkaConsumer, *args: Any, **options: Any) -> Any:
        if not stuck:
            stuck.append(consumer)
        if consumer in stuck:
            await asyncio.Event().wait()
        return await getmany(consumer, *args, **options)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", standing_still)
    told: dict[str, bytes | None] = {}
    follower = Follower(settings, {INTAKE_KEYS: told.__setitem__}, look_every_seconds=0.5)
    finish = asyncio.Event()
    running = asyncio.create_task(follower.run(finish))
    producer = Producer(settings)
    await producer.start()
    try:
        await until(lambda: bool(stuck))
        await producer.send_all([(INTAKE_KEYS, 0, "a", b"1")])
        await until(lambda: told == {"a": b"1"})
        await producer.send_all([(INTAKE_KEYS, 0, "b", b"2")])
        await until(lambda: told == {"a": b"1", "b": b"2"})
        assert follower.position(INTAKE_KEYS, 0) == 2
    finally:
        finish.set()
        await running
        await producer.stop()


async def test_a_reader_whose_fetcher_died_is_replaced(fresh_kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """As aiokafka's dies of whatever it did not expect: without a word."""
    settings = settings_for(None, fresh_kafka)
    fetchers: list[asyncio.Task[None]] = []
    start = AIOKafkaConsumer.start

    async def started(consumer: AIOKafkaConsumer) -> None:
        await start(consumer)
        fetchers.append(consumer._fetcher.error_future)

    monkeypatch.setattr(AIOKafkaConsumer, "start", started)
    told: dict[str, bytes | None] = {}
    follower = Follower(settings, {INTAKE_KEYS: told.__setitem__}, look_every_seconds=60.0)
    finish = asyncio.Event()
    running = asyncio.create_task(follower.run(finish))
    producer = Producer(settings)
    await producer.start()
    try:
        await asyncio.wait_for(follower.caught_up.wait(), 60)
        fetchers[0].cancel()
        for key in ("a", "b"):  # what it had asked for before may still come
            await producer.send_all([(INTAKE_KEYS, 0, key, b"1")])
            await until(lambda key=key: key in told)  # type: ignore[misc]
    finally:
        finish.set()
        await running
        await producer.stop()


async def test_a_reader_that_never_begins_is_replaced(fresh_kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is nothing to read yet, too: who waits for what was there at the start would wait for ever."""
    settings = settings_for(None, fresh_kafka)
    stuck: list[AIOKafkaConsumer] = []
    position = AIOKafkaConsumer.position

    async def standing_still(consumer: AIOKafkaConsumer, where: TopicPartition) -> int:
        if not stuck:
            stuck.append(consumer)
        if consumer in stuck:
            await asyncio.Event().wait()
        found: int = await position(consumer, where)
        return found

    monkeypatch.setattr(AIOKafkaConsumer, "position", standing_still)
    follower = Follower(settings, {INTAKE_KEYS: lambda *_: None}, look_every_seconds=0.5)
    finish = asyncio.Event()
    running = asyncio.create_task(follower.run(finish))
    try:
        await asyncio.wait_for(follower.caught_up.wait(), 60)
    finally:
        finish.set()
        await running
