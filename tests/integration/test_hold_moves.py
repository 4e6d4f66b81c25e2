"""A clinic moves and hold keeps its order: on real Kafka and real PostgreSQL, by one worker or between two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.stack import Kafka
from tests.support.commands import book, cancel
from tests.support.database import Database
from tests.support.log import everything_in, until
from tests.support.running import running
from tests.support.world import ClinicSpec, seed, settings_for, tomorrow
from waiting_room.domain.booking_ref import clinic_id_of_number
from waiting_room.messages import Book, Message, Pulse, PulseRecord, Reader, encode
from waiting_room.store import moves
from waiting_room.store.moves import Move
from waiting_room.topics import BOOKING_REQUESTS, CLINIC_PULSE
from workers.assemble import Role
from workers.hold.worker import GROUP

REST = "http://127.0.0.1:9/clinics"
_pulse: Reader[PulseRecord] = Reader(PulseRecord)


@dataclass
class World:
    """Clinics 0001 to 0008, two in each of four partitions, and what appends, moves and looks."""

    database: Database
    kafka: Kafka
    specs: list[ClinicSpec]
    owner: asyncpg.Connection[asyncpg.Record]
    producer: AIOKafkaProducer

    def in_partition(self, partition: int) -> ClinicSpec:
        return next(spec for spec in self.specs if spec.partition == partition)

    async def append(self, partition: int, *messages: Message) -> int:
        """The offset of the first."""
        offsets = []
        for message in messages:
            key = getattr(message, "clinic_id", "").encode()
            sent = await self.producer.send_and_wait(BOOKING_REQUESTS, encode(message), key=key, partition=partition)
            offsets.append(sent.offset)
        return int(offsets[0])

    async def move(self, spec: ClinicSpec, partition: int) -> Move:
        """The map changes; the marker is to be appended."""
        async with self.owner.transaction():
            move = await moves.begin(self.owner, spec.clinic_id, partition)
        assert move is not None
        return move

    async def held(self, *refs: str) -> None:
        async def all_there() -> bool:
            return set(refs) <= set(await self.tickets())

        await until(all_there)

    async def tickets(self) -> dict[str, int]:
        rows = await self.owner.fetch("SELECT booking_ref, ticket FROM appointments ORDER BY ticket")
        return {row["booking_ref"]: row["ticket"] for row in rows}

    async def consumed(self, partition: int) -> int | None:
        found: int | None = await self.owner.fetchval(
            "SELECT next_offset FROM consumed_offsets WHERE topic = $1 AND partition = $2", BOOKING_REQUESTS, partition
        )
        return found

    async def committed(self, partition: int) -> int | None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap_servers, group_id=GROUP, enable_auto_commit=False
        )
        await consumer.start()
        try:
            offset: int | None = await consumer.committed(TopicPartition(BOOKING_REQUESTS, partition))
            return offset
        finally:
            await consumer.stop()

    async def told_held(self, partition: int) -> int | None:
        """Up to which offset the pulse says this partition is held, if it has said anything yet."""
        told = [_pulse(record.value) for record in await everything_in(self.kafka, CLINIC_PULSE)]
        return max((each.held_offsets.get(partition, 0) for each in told if isinstance(each, Pulse)), default=None)


def wish(spec: ClinicSpec, hour: int) -> Book:
    return book(spec, f"{spec.clinic_id} at {hour}", start_at=tomorrow(hour))


@pytest.fixture
async def world(database: Database, fresh_kafka: Kafka) -> AsyncIterator[World]:
    specs = [ClinicSpec(clinic_id_of_number(n), endpoint=REST, partition=n % 4) for n in range(1, 9)]
    producer = AIOKafkaProducer(bootstrap_servers=fresh_kafka.bootstrap_servers, acks="all")
    await producer.start()
    async with database.owner() as owner:
        await seed(owner, specs)
        yield World(database, fresh_kafka, specs, owner, producer)
    await producer.stop()


@asynccontextmanager
async def holding(world: World, workers: int) -> AsyncIterator[list[asyncio.Task[None]]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running(Role.HOLD, settings_for(world.database, world.kafka, worker_id=f"hold-{number}"))
            )
            for number in range(workers)
        ]


@pytest.mark.parametrize(
    ("workers", "old", "new"),
    [(1, 1, 2), (1, 0, 3), (2, 1, 2)],
    ids=["one worker", "one worker, one line", "two workers"],
)
async def test_the_new_partition_waits_for_the_old_one_and_neighbours_do_not(
    world: World, workers: int, old: int, new: int
) -> None:
    clinic, neighbour = world.in_partition(old), world.in_partition(new)
    a, b, c, d, e = (wish(clinic, hour) for hour in range(1, 6))
    others = [wish(neighbour, hour) for hour in range(1, 5)]
    async with holding(world, workers):
        await world.append(old, a)
        await world.held(a.booking_ref)
        move = await world.move(clinic, new)
        first = await world.append(new, c, others[0], cancel(c), d, others[1])
        await world.append(old, b)  # accepted by an ingress that did not know
        await world.held(b.booking_ref, *(each.booking_ref for each in others[:2]))
        assert not {c.booking_ref, d.booking_ref} & set(await world.tickets())
        assert await world.consumed(new) in (None, first)

        async def told() -> bool:
            return await world.told_held(new) == first

        await until(told)
    assert await world.committed(new) in (None, first)
    async with holding(world, workers) as tasks:  # it reads again what was not committed
        await world.append(new, others[2])
        await world.held(others[2].booking_ref)
        assert not {c.booking_ref, d.booking_ref} & set(await world.tickets())
        assert await world.consumed(new) in (None, first)
        for task in tasks:
            task.cancel()  # a crash: nothing is committed, nothing said
    async with holding(world, workers):
        await world.append(old, move.marker)
        await world.append(new, e)
        await world.append(old, move.marker)  # by a mover that was run again
        await world.append(old, others[3])
        await world.held(c.booking_ref, d.booking_ref, e.booking_ref, others[3].booking_ref)
        assert await world.owner.fetchval("SELECT marker_read_at IS NOT NULL FROM clinic_moves")
        tickets = await world.tickets()
        assert sorted((each.booking_ref for each in (a, b, c, d, e)), key=tickets.__getitem__) == [
            each.booking_ref for each in (a, b, c, d, e)
        ]
        history = await world.owner.fetch(
            "SELECT event FROM appointment_events WHERE booking_ref = $1 ORDER BY seq", c.booking_ref
        )
        assert [row["event"].partition(".")[2] for row in history] == ["accepted", "held", "cancelled"]

        async def all_said() -> bool:
            return await world.consumed(new) == first + 7

        await until(all_said)
    assert await world.committed(new) == first + 7


async def test_there_and_back_again(world: World) -> None:
    """The second move waits for the first; what comes in the partition it was in before waits like any other."""
    clinic = world.in_partition(1)
    books = [wish(clinic, hour) for hour in range(1, 7)]
    async with holding(world, 1):
        there = await world.move(clinic, 2)
        await world.append(2, books[1])
        await world.append(1, books[0], there.marker)
        await world.held(books[1].booking_ref)
        back = await world.move(clinic, 1)
        await world.append(1, books[3])
        await world.append(2, there.marker, books[2])  # one that belongs elsewhere changes nothing
        await world.held(books[2].booking_ref)
        assert books[3].booking_ref not in await world.tickets()
        await world.append(2, back.marker)
        await world.append(1, books[4])
        await world.held(*(each.booking_ref for each in books[:5]))
        await world.append(2, books[5])  # of an ingress that was taken for gone: held, in no order
        await world.held(books[5].booking_ref)
    assert list(await world.tickets()) == [each.booking_ref for each in books]


async def test_what_waits_for_a_lock_is_not_claimed_to_be_stored(world: World) -> None:
    """A batch that is split stores its parts one after the other: a backup taken in between tells where to go on."""
    locked, other = (spec for spec in world.specs if spec.partition == 1)
    first, second = wish(locked, 1), wish(other, 1)
    async with world.database.owner() as somebody:
        lock = somebody.transaction()
        await lock.start()
        await somebody.execute("SELECT * FROM clinic_counters WHERE clinic_id = $1 FOR UPDATE", locked.clinic_id)
        await world.append(1, first, second)
        async with holding(world, 1):
            await world.held(second.booking_ref)
            assert not await world.consumed(1)
            await lock.rollback()
            await world.held(first.booking_ref)
    assert await world.committed(1) == 2


async def test_a_marker_of_a_clinic_nobody_knows_goes_aside(world: World) -> None:
    clinic = world.in_partition(1)
    stray = msgspec.structs.replace((await world.move(clinic, 2)).marker, clinic_id="ZZZZ")
    good = wish(clinic, 1)
    await world.append(1, stray, good)
    async with holding(world, 1):
        await world.held(good.booking_ref)
    assert [record.key for record in await everything_in(world.kafka, f"{BOOKING_REQUESTS}.dlq")] == [b"ZZZZ"]
