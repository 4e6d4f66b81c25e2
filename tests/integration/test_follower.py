"""A follower hands on what is published, whatever becomes of the consumer that it reads with."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

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
    follower = Follower(settings, {INTAKE_KEYS: told.__setitem__}, look_every_seconds=0.2)
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
