"""Live events: from when it says it is live on, a watcher gets every event of its clinic, and only of its clinic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer

from ingress import tail as module
from ingress.tail import Tail, Watcher
from tests.stack import Kafka
from tests.support.log import append
from tests.support.world import settings_for
from waiting_room import kafka as clients
from waiting_room.messages import BookingEvent, encode
from waiting_room.topics import BOOKING_EVENTS

_GOLDEN = Path(__file__).parents[1] / "contract" / "messages" / "event.v1.held.json"
HELD = msgspec.json.decode(_GOLDEN.read_bytes(), type=BookingEvent)
CLINIC, OTHER = "0001", "0002"


@asynccontextmanager
async def tailing(kafka: Kafka) -> AsyncIterator[Tail]:
    finish = asyncio.Event()
    tail = Tail(settings_for(None, kafka))
    running = asyncio.create_task(tail.run(finish))
    try:
        yield tail
    finally:
        finish.set()
        await running


def event(clinic_id: str, seq: int) -> bytes:
    return encode(msgspec.structs.replace(HELD, clinic_id=clinic_id, seq=seq))


async def events_of(watcher: Watcher, count: int) -> list[int]:
    """The numbers of the next ``count`` events."""
    seqs: list[int] = []
    async with asyncio.timeout(10):
        while len(seqs) < count:
            events, _ = await watcher.news(1)
            seqs += [each.seq for each in events]
    return seqs


async def test_it_is_live_soon_and_then_misses_nothing(fresh_kafka: Kafka) -> None:
    await append(fresh_kafka, BOOKING_EVENTS, 3, CLINIC, event(CLINIC, 1))
    async with tailing(fresh_kafka) as tail:
        assert not tail.is_live
        with tail.watch(CLINIC) as watcher, tail.watch(CLINIC) as another, tail.watch(OTHER) as elsewhere:
            assert await tail.live(10)
            await append(fresh_kafka, BOOKING_EVENTS, 3, CLINIC, *(event(CLINIC, seq) for seq in (2, 3)))
            await append(fresh_kafka, BOOKING_EVENTS, 4, OTHER, event(OTHER, 1))
            assert await events_of(watcher, 2) == [2, 3]
            assert await events_of(another, 2) == [2, 3]
            assert await events_of(elsewhere, 1) == [1]


async def test_becoming_live_and_what_cannot_be_read_leave_a_gap(fresh_kafka: Kafka) -> None:
    async with tailing(fresh_kafka) as tail:
        with tail.watch(CLINIC) as watcher:
            assert await tail.live(10)
            assert await watcher.news(5) == ([], True)
            assert await watcher.news(0.01) == ([], False)
            await append(fresh_kafka, BOOKING_EVENTS, 0, CLINIC, b"{")
            assert await watcher.news(5) == ([], True)


async def test_it_ends_although_its_consumer_does_not(fresh_kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck: list[AIOKafkaConsumer] = []
    stop = AIOKafkaConsumer.stop

    async def standing_still(consumer: AIOKafkaConsumer) -> None:
        stuck.append(consumer)
        await asyncio.Event().wait()

    monkeypatch.setattr(AIOKafkaConsumer, "stop", standing_still)
    monkeypatch.setattr(clients, "STOP_SECONDS", 0.05)
    async with asyncio.timeout(20):
        async with tailing(fresh_kafka) as tail:
            with tail.watch(CLINIC):
                assert await tail.live(10)
    assert stuck
    for consumer in stuck:
        await stop(consumer)


async def test_a_consumer_that_never_starts_is_replaced(fresh_kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck: list[AIOKafkaConsumer] = []
    start = AIOKafkaConsumer.start

    async def standing_still(consumer: AIOKafkaConsumer) -> None:
        if not stuck:
            stuck.append(consumer)
            await asyncio.Event().wait()
        monkeypatch.setattr(module, "START_SECONDS", 30.0)
        await start(consumer)

    monkeypatch.setattr(AIOKafkaConsumer, "start", standing_still)
    monkeypatch.setattr(module, "START_SECONDS", 0.05)
    async with tailing(fresh_kafka) as tail:
        with tail.watch(CLINIC):
            assert await tail.live(20)
