"""A role that is told to finish does, whatever its consumer does."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.running import running
from tests.support.world import settings_for
from waiting_room import kafka as clients
from waiting_room.follower import Follower
from workers.assemble import Role


@pytest.mark.parametrize("role", [Role.HOLD, Role.CONFIRM, Role.WEBHOOKS, Role.NOTIFY])
@pytest.mark.parametrize(
    ("stop_seconds", "shutdown_seconds"), [(0.05, 20.0), (5.0, 1.0)], ids=["given up", "cancelled for being late"]
)
async def test_a_role_ends_although_its_consumer_does_not(
    role: Role,
    stop_seconds: float,
    shutdown_seconds: float,
    database: Database,
    fresh_kafka: Kafka,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cancelled for being late it waited once more, and for ever; or it left its consumer at work and connected."""
    started, stuck = asyncio.Event(), set[AIOKafkaConsumer]()
    start, stop = AIOKafkaConsumer.start, AIOKafkaConsumer.stop

    async def starting(consumer: AIOKafkaConsumer) -> None:
        await start(consumer)
        started.set()

    async def standing_still(consumer: AIOKafkaConsumer) -> None:
        stuck.add(consumer)
        await asyncio.Event().wait()

    monkeypatch.setattr(AIOKafkaConsumer, "start", starting)
    monkeypatch.setattr(AIOKafkaConsumer, "stop", standing_still)
    monkeypatch.setattr(clients, "STOP_SECONDS", stop_seconds)
    settings = settings_for(database, fresh_kafka, role.value, shutdown_seconds=shutdown_seconds)
    async with asyncio.timeout(120):
        async with running(role, settings):
            await started.wait()
    assert stuck
    assert not [each for consumer in stuck for each in consumer._client._conns.values() if each.connected()]
    gc.collect()  # a connection that was left open would be told of here, not in the midst of another test
    for consumer in stuck:
        await stop(consumer)


async def test_who_is_told_to_finish_before_it_reads_closes_what_it_would_have_read_with(
    database: Database, fresh_kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Confirm first hears what it knew before; late for the end, it was cancelled there."""
    made: list[AIOKafkaConsumer] = []
    init, hearing = AIOKafkaConsumer.__init__, asyncio.Event()

    def making(consumer: AIOKafkaConsumer, *topics: str, **options: Any) -> None:
        init(consumer, *topics, **options)
        made.append(consumer)

    async def nothing_is_heard(*_: object) -> None:
        hearing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(AIOKafkaConsumer, "__init__", making)
    monkeypatch.setattr(Follower, "_follow", nothing_is_heard)
    settings = settings_for(database, fresh_kafka, "confirm", shutdown_seconds=0.05)
    async with asyncio.timeout(120), running(Role.CONFIRM, settings):
        await hearing.wait()
    assert len(made) == 2
    assert all(consumer._closed for consumer in made)
