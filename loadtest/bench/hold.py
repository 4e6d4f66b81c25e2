"""How many bookings a second one hold process takes from a full topic into PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta

import asyncpg

from devstack import roles
from devstack.stack import RUN, Stack
from devstack.world import APP, SERVICES, Shape
from loadtest.bench import cpu
from loadtest.bench.report import Result
from waiting_room.domain.booking_ref import RefSecrets, key_hash
from waiting_room.kafka import Producer
from waiting_room.messages import Book, Patient, TimeRange, encode
from waiting_room.topics import BOOKING_REQUESTS

BOOKINGS = 40_000
CLINICS = 500
TARGET = 5_000
_CHUNK = 2_000


async def measure(seed: int) -> Result:
    """Fill the topic, start hold, watch it drain; the rate between the first 10% and the last booking held."""
    began = time.monotonic()
    stack = Stack(Shape(clinics=CLINICS, partitions=512, webhooks=False, seed=seed), RUN / "bench-hold")
    try:
        await stack.start_servers()
        await _fill(stack, seed)
        hold, _ = roles.worker("hold", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            await hold.start()
            before = {**cpu.of_stack(stack), "hold": cpu.of(hold.pid)}
            await _drained(connection)
            spent = cpu.spent(before, {**cpu.of_stack(stack), "hold": cpu.of(hold.pid)})
            row = await connection.fetchrow(_RATE, BOOKINGS // 10)
        finally:
            await connection.close()
            await hold.stop()
    finally:
        await stack.stop()
    assert row is not None
    rate = row["bookings"] / row["seconds"]
    return Result(
        name="hold",
        promise="bookings drained from a full topic by one process",
        target=f">= {TARGET} /s",
        value=rate,
        unit="bookings/s",
        passed=rate >= TARGET and row["held"] + row["rejected"] == BOOKINGS,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={
            "held": row["held"],
            "rejected (no free slot)": row["rejected"],
            **{f"CPU ms a booking: {name}": seconds * 1_000 / BOOKINGS for name, seconds in spent.items()},
        },
        notes=["everything, Kafka and PostgreSQL included, on this machine; hold alone reads the topic"],
    )


_RATE = """
SELECT
    count(*) AS bookings,
    EXTRACT(EPOCH FROM max(at) - min(at))::float AS seconds,
    (SELECT count(*) FROM appointments WHERE status = 'pending') AS held,
    (SELECT count(*) FROM appointments WHERE status = 'rejected') AS rejected
FROM (
    SELECT coalesce(held_at, decided_at) AS at FROM appointments ORDER BY 1 OFFSET $1
) AS later
"""


async def _fill(stack: Stack, seed: int) -> None:
    chance = random.Random(seed)
    refs = RefSecrets(stack.secrets.ref_secret.encode())
    clinics = [(clinic["id"], clinic["provider_ids"], number) for number, clinic in enumerate(stack.world.clinics)]
    now = datetime.now(UTC)
    first = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    producer = Producer(stack.settings())
    await producer.start()
    try:
        records = []
        for number in range(BOOKINGS):
            clinic_id, providers, partition = chance.choice(clinics)
            key = f"{seed}-{number}"
            day = first + timedelta(days=chance.randrange(7))
            command = Book(
                booking_ref=refs.derive(clinic_id, APP, key),
                clinic_id=clinic_id,
                app_id=APP,
                key_hash=key_hash(APP, key),
                body_hash=key_hash("body", key),
                provider_id=chance.choice(providers),
                service_type=chance.choice(sorted(SERVICES)),
                patient=Patient(id=f"patient-{number}"),
                range=TimeRange(day, day + timedelta(days=1)),
                accepted_at=now,
                accept_by=now + timedelta(hours=1),
            )
            records.append((BOOKING_REQUESTS, partition % stack.shape.partitions, clinic_id, encode(command)))
            if len(records) == _CHUNK:
                await producer.send_all(records)
                records.clear()
        await producer.send_all(records)
    finally:
        await producer.stop()


async def _drained(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    async with asyncio.timeout(180):
        while await connection.fetchval("SELECT count(*) FROM appointments") < BOOKINGS:
            await asyncio.sleep(0.5)
