"""The hold role on real Kafka and real PostgreSQL: what is appended is held, rung for and committed, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.stack import Kafka
from tests.support.commands import book, cancel
from tests.support.database import Database
from tests.support.log import everything_in, until
from tests.support.world import ClinicSpec, clinics, seed, settings_for, tomorrow
from waiting_room import topics
from waiting_room.messages import Confirmation, Message, Probe, Pulse, Reader, encode
from waiting_room.settings import Settings
from workers.hold.worker import GROUP, run

REST = "http://127.0.0.1:9/clinics"
_confirmation: Reader[Confirmation] = Reader(Confirmation)
_pulse: Reader[Pulse] = Reader(Pulse)


@asynccontextmanager
async def holding(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """A hold worker that runs inside the block and is stopped orderly after it."""
    finish = asyncio.Event()
    task = asyncio.create_task(run(settings, finish))
    try:
        yield task
    finally:
        finish.set()
        await task


async def append(kafka: Kafka, *messages: tuple[ClinicSpec, Message | bytes]) -> list[int]:
    """Append to booking.requests at each clinic's partition; the offsets."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all")
    await producer.start()
    try:
        sent = [
            await producer.send_and_wait(
                topics.BOOKING_REQUESTS,
                message if isinstance(message, bytes) else encode(message),
                key=spec.clinic_id.encode(),
                partition=spec.partition,
            )
            for spec, message in messages
        ]
        return [each.offset for each in sent]
    finally:
        await producer.stop()


async def _committed(kafka: Kafka, partition: int) -> int | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        where = TopicPartition(topics.BOOKING_REQUESTS, partition)
        offset: int | None = await consumer.committed(where)
        return offset
    finally:
        await consumer.stop()


@pytest.fixture
async def world(database: Database, fresh_kafka: Kafka) -> tuple[Database, Kafka, list[ClinicSpec]]:
    specs = clinics(4, endpoint=REST)
    async with database.owner() as owner:
        await seed(owner, specs)
    return database, fresh_kafka, specs


World = tuple[Database, Kafka, list[ClinicSpec]]


async def test_held_bookings_are_rung_for_and_committed(world: World) -> None:
    database, kafka, specs = world
    commands = [
        (spec, book(spec, f"{spec.clinic_id} {n}", start_at=tomorrow(8 + n))) for spec in specs for n in range(3)
    ]
    await append(kafka, *commands)
    async with holding(settings_for(database, kafka)), database.owner() as owner:

        async def held() -> bool:
            return bool(await owner.fetchval("SELECT count(*) = 12 FROM appointments WHERE stage = 'held'"))

        await until(held)
    rung = await everything_in(kafka, topics.CLINIC_CONFIRMATIONS)
    assert {_confirmation(each.value).booking_ref for each in rung} == {each.booking_ref for _, each in commands}
    assert all(each.partition == specs[int(each.key.decode(), 32) - 1].partition for each in rung)
    assert await _committed(kafka, specs[0].partition) == 3
    last = [_pulse(each.value) for each in await everything_in(kafka, topics.CLINIC_PULSE)][-1]
    assert last.held_offsets == dict.fromkeys(range(4), 3)
    assert {clinic_id: pulse.line for clinic_id, pulse in last.clinics.items()} == {each.clinic_id: 3 for each in specs}


async def test_what_was_appended_too_late_never_books(world: World) -> None:
    database, kafka, specs = world
    late = book(specs[0], "late", accept_by=datetime.now(UTC) - timedelta(milliseconds=50))
    in_time = book(specs[0], "in time")
    await append(kafka, (specs[0], late), (specs[0], Probe(sent_by="ingress")), (specs[0], in_time))
    async with holding(settings_for(database, kafka)), database.owner() as owner:

        async def stored() -> bool:
            return bool(await owner.fetchval("SELECT count(*) = 1 FROM appointments"))

        await until(stored)
        assert await owner.fetchval("SELECT booking_ref FROM appointments") == in_time.booking_ref


async def test_the_unreadable_goes_aside_and_the_partition_moves_on(world: World) -> None:
    database, kafka, specs = world
    good = book(specs[0], "good")
    await append(kafka, (specs[0], b"\xff not json"), (specs[0], b'{"type":"book","v":99}'), (specs[0], good))
    async with holding(settings_for(database, kafka)), database.owner() as owner:

        async def stored() -> bool:
            return bool(await owner.fetchval("SELECT count(*) = 1 FROM appointments"))

        await until(stored)
    aside = await everything_in(kafka, topics.dead_letters_of(topics.BOOKING_REQUESTS))
    assert sorted(each.value for each in aside) == sorted([b"\xff not json", b'{"type":"book","v":99}'])


async def test_a_database_restored_from_yesterday_is_filled_again(world: World) -> None:
    """Kafka's committed offset is ahead of the restored database: hold starts from the lower of the two."""
    database, kafka, specs = world
    commands = [(specs[0], book(specs[0], f"key {n}", start_at=tomorrow(8 + n))) for n in range(4)]
    await append(kafka, *commands)
    async with database.owner() as owner:

        async def all_there() -> bool:
            return bool(await owner.fetchval("SELECT count(*) = 4 FROM appointments"))

        async with holding(settings_for(database, kafka)):
            await until(all_there)
        assert await _committed(kafka, specs[0].partition) == 4
        await owner.execute(
            """
            ALTER TABLE appointment_events DISABLE TRIGGER ALL;
            DELETE FROM appointment_events; DELETE FROM seat_claims; DELETE FROM appointments;
            DELETE FROM booking_refs; UPDATE consumed_offsets SET next_offset = 0;
            UPDATE clinic_counters SET last_ticket = 0, last_seq = 0, line = 0;
            ALTER TABLE appointment_events ENABLE TRIGGER ALL;
            """
        )
        async with holding(settings_for(database, kafka)):
            await until(all_there)


async def test_a_cancel_after_the_clinic_knows_is_rung_first(world: World) -> None:
    database, kafka, specs = world
    command = book(specs[0], "key")
    await append(kafka, (specs[0], command))
    async with holding(settings_for(database, kafka)), database.owner() as owner:

        async def state(wanted: str) -> bool:
            return bool(await owner.fetchval("SELECT count(*) = 1 FROM appointments WHERE clinic_state = $1", wanted))

        await until(lambda: state("none"))
        await owner.execute(
            "UPDATE appointments SET clinic_state = 'booked', status = 'confirmed', stage = NULL, decided_at = now()"
        )
        await owner.execute("UPDATE clinic_counters SET line = 0")
        await append(kafka, (specs[0], cancel(command)))
        await until(lambda: state("withdrawing"))
    first = await everything_in(kafka, topics.CLINIC_CONFIRMATIONS_PRIORITY)
    assert [_confirmation(each.value).booking_ref for each in first] == [command.booking_ref]
