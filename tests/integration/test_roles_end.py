"""A role that is told to finish does, whatever its consumer does."""

from __future__ import annotations

import asyncio
import gc

import pytest
from aiokafka import AIOKafkaConsumer

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.running import running
from tests.support.world import settings_for
from waiting_room import kafka as clients
from workers.assemble import Role


@pytest.mark.parametrize("role", [Role.HOLD, Role.CONFIRM, Role.WEBHOOKS, Role.NOTIFY])
async def test_a_role_ends_although_its_consumer_does_not(
    role: Role, database: Database, fresh_kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled for being late it waited once more, and for ever."""
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
    monkeypatch.setattr(clients, "STOP_SECONDS", 0.05)
    async with asyncio.timeout(120):
        async with running(role, settings_for(database, fresh_kafka, role.value)):
            await started.wait()
    assert stuck
    gc.collect()  # a connection that was left open would be told of here, not in the midst of another test
    for consumer in stuck:
        await stop(consumer)
