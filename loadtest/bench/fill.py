"""Bookings put straight into booking.requests, as many as are wanted of each clinic, and held by hold alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from devstack import roles
from devstack.stack import Stack
from devstack.world import APP, SERVICES
from waiting_room.domain.booking_ref import RefSecrets, key_hash
from waiting_room.envelope import envelope_of
from waiting_room.intake_keys import make
from waiting_room.kafka import Producer
from waiting_room.messages import Book, Patient, TimeRange, encode
from waiting_room.topics import BOOKING_REQUESTS, INTAKE_KEYS

_CHUNK = 2_000


async def append(stack: Stack, wanted: Mapping[str, int], seed: int, *, days: int = 7) -> None:
    """Append ``wanted[clinic_id]`` bookings of each clinic, clinics mixed, each for any time of one of ``days``."""
    chance = random.Random(seed)
    refs = RefSecrets(stack.secrets.ref_secret.encode())
    clinics = {clinic["id"]: (number, clinic["provider_ids"]) for number, clinic in enumerate(stack.world.clinics)}
    order = [clinic_id for clinic_id, count in wanted.items() for _ in range(count)]
    chance.shuffle(order)
    now = datetime.now(UTC)
    first = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    producer = Producer(stack.settings())
    intake_key, announced = make(envelope_of(stack.settings()), now)
    await producer.start()
    try:
        await producer.send_all([(INTAKE_KEYS, 0, intake_key.key_id, encode(announced))])
        records = []
        for number, clinic_id in enumerate(order):
            at, providers = clinics[clinic_id]
            key = f"{seed}-{number}"
            day = first + timedelta(days=chance.randrange(days))
            ref = refs.derive(clinic_id, APP, key)
            patient = msgspec.json.encode(Patient(id=f"patient-{seed}-{number}"))
            command = Book(
                booking_ref=ref,
                clinic_id=clinic_id,
                app_id=APP,
                key_hash=key_hash(APP, key),
                body_hash=key_hash("body", key),
                provider_id=chance.choice(providers),
                service_type=chance.choice(sorted(SERVICES)),
                sealed=intake_key.seal(patient, ref),
                intake_key=intake_key.key_id,
                range=TimeRange(day, day + timedelta(days=1)),
                accepted_at=now,
                accept_by=now + timedelta(hours=1),
            )
            records.append((BOOKING_REQUESTS, at % stack.shape.partitions, clinic_id, encode(command)))
            if len(records) == _CHUNK:
                await producer.send_all(records)
                records.clear()
        await producer.send_all(records)
    finally:
        await producer.stop()


async def hold_all(stack: Stack, connection: asyncpg.Connection[asyncpg.Record], total: int) -> None:
    """Run hold until ``total`` bookings are in PostgreSQL; then stop it."""
    hold, _ = roles.worker("hold", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
    await hold.start()
    try:
        await held(connection, total)
    finally:
        await hold.stop()


async def held(connection: asyncpg.Connection[asyncpg.Record], total: int) -> None:
    """Until ``total`` bookings are in PostgreSQL. Raises TimeoutError."""
    async with asyncio.timeout(180):
        while await connection.fetchval("SELECT count(*) FROM appointments") < total:
            await asyncio.sleep(0.5)
