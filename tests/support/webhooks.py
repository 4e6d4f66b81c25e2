"""Events committed and published as the Journal and relay do, and what became of their deliveries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.endpoint import Endpoint
from tests.support.log import append, until
from tests.support.world import settings_for
from waiting_room import topics
from waiting_room.domain.appointment import EventType, Stage, Status
from waiting_room.messages import BookingEvent, Reader, encode
from waiting_room.settings import Settings
from waiting_room.store.pool import Connection
from workers.webhooks.intake import GROUP

CLINIC, APP = "0001", "app"
read_event: Reader[BookingEvent] = Reader(BookingEvent)


def event(seq: int, kind: EventType = EventType.CONFIRMED, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "clinic_id": CLINIC,
        "seq": seq,
        "booking_ref": f"{CLINIC}-{seq}",
        "app_id": APP,
        "event": kind,
        "at": datetime.now(UTC),
        "status": Status.PENDING,
        "stage": Stage.HELD,
        "row_version": 1,
        "revision": 1,
    }
    return encode(BookingEvent(**{**values, **changes}))


def webhooks_settings(database: Database, kafka: Kafka, **overrides: Any) -> Settings:
    values = {"webhook_allow_networks": "127.0.0.0/8", "webhook_retry_seconds": "0.1,0.1", **overrides}
    return settings_for(database, kafka, "webhooks", **values)


async def publish(kafka: Kafka, *events: bytes, clinic_id: str = CLINIC, database: Database | None = None) -> None:
    """As relay does; ``database``: commit them there first."""
    if database is not None:
        async with database.owner() as owner:
            await commit(owner, *events)
    await append(kafka, topics.BOOKING_EVENTS, 1, clinic_id, *events)


async def commit(owner: Connection, *events: bytes) -> None:
    """As the Journal does; what is there already stays."""
    for each in events:
        told = read_event(each)
        await owner.execute(
            "INSERT INTO appointment_events VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            told.clinic_id,
            told.seq,
            told.booking_ref,
            told.event,
            told.at,
            each.decode(),
        )


async def received(endpoint: Endpoint, count: int) -> None:
    async def enough() -> bool:
        return len(endpoint.received) >= count

    await until(enough)


async def rows(database: Database) -> list[asyncpg.Record]:
    async with database.owner() as owner:
        return list(await owner.fetch("SELECT * FROM webhook_deliveries ORDER BY endpoint_id, clinic_id, seq"))


async def settled(database: Database, endpoint_id: str | None = None) -> list[asyncpg.Record]:
    """``endpoint_id``: what others have to deliver may be under way."""
    found: list[asyncpg.Record] = []

    async def none_due() -> bool:
        found[:] = [row for row in await rows(database) if endpoint_id in (None, row["endpoint_id"])]
        return bool(found) and all(row["state"] != "due" for row in found)

    await until(none_due)
    return found


async def until_committed(kafka: Kafka, offset: int) -> None:
    """Wait until the group has committed so far in partition 1."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:

        async def committed() -> bool:
            return (await consumer.committed(TopicPartition(topics.BOOKING_EVENTS, 1)) or 0) >= offset

        await until(committed)
    finally:
        await consumer.stop()
