"""Relay on real servers: everything committed is published, in order per clinic, whoever dies or comes back."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence

import asyncpg
import pytest
from aiokafka import ConsumerRecord

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.log import everything_in, until
from tests.support.running import running
from tests.support.world import ClinicSpec, clinics, seed, settings_for
from tests.support.written import CONFIRMED, plant
from waiting_room import topics
from waiting_room.kafka import Producer
from waiting_room.store import moves, outbox
from waiting_room.store.pool import Connection, create_pool
from workers.assemble import Role
from workers.relay.events import EventPublisher

SPECS = clinics(3, endpoint="http://127.0.0.1:9/clinics")
Owner = Connection


def by_clinic(records: Sequence[ConsumerRecord]) -> dict[str, list[int]]:
    """Sequence numbers by clinic, in the order of the log."""
    found: dict[str, list[int]] = defaultdict(list)
    for record in records:
        found[record.key.decode()].append(json.loads(record.value)["seq"])
    return dict(found)


def first_seen(seqs: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(seqs))


async def cursors(owner: Owner) -> dict[str, int]:
    return {row["clinic_id"]: row["published_seq"] for row in await owner.fetch("SELECT * FROM relay_cursors")}


async def plant_many(owner: Owner, numbers: range, specs: Sequence[ClinicSpec] = SPECS) -> None:
    for number in numbers:
        for spec in specs:
            await plant(owner, spec, number, CONFIRMED)


async def published(kafka: Kafka, count: int) -> list[ConsumerRecord]:
    """Everything in booking.events, once that is at least ``count`` different events."""
    found: list[ConsumerRecord] = []

    async def enough() -> bool:
        found[:] = await everything_in(kafka, topics.BOOKING_EVENTS)
        return len({(record.key, record.value) for record in found}) >= count

    await until(enough)
    return found


async def test_events_are_published_as_stored_in_order_per_clinic(database: Database, fresh_kafka: Kafka) -> None:
    async with database.owner() as owner:
        await seed(owner, SPECS)
        await owner.execute("DELETE FROM relay_cursors WHERE clinic_id = $1", SPECS[0].clinic_id)
        await plant_many(owner, range(4))
        async with running(Role.RELAY, settings_for(database, fresh_kafka, "relay")):
            await published(fresh_kafka, 48)
            await plant_many(owner, range(4, 6))
            records = await published(fresh_kafka, 72)
        assert by_clinic(records) == {spec.clinic_id: list(range(1, 25)) for spec in SPECS}
        assert {(record.key.decode(), record.partition) for record in records} == {
            (spec.clinic_id, spec.partition) for spec in SPECS
        }
        stored = await owner.fetch("SELECT clinic_id, seq, record FROM appointment_events")
        assert {record.value.decode() for record in records} == {row["record"] for row in stored}
        assert await cursors(owner) == {spec.clinic_id: 24 for spec in SPECS}


async def test_a_crash_before_the_cursors_move_publishes_again_and_loses_nothing(
    database: Database, fresh_kafka: Kafka
) -> None:
    settings = settings_for(database, fresh_kafka, "relay")
    async with database.owner() as owner:
        await seed(owner, SPECS)
        await plant_many(owner, range(3))
        pool, producer = await create_pool(settings, "relay"), Producer(settings)
        await producer.start()
        try:
            async with owner.transaction():
                await owner.execute("SELECT * FROM relay_cursors FOR UPDATE")
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await EventPublisher(pool, producer).round()
        finally:
            await producer.stop()
            await pool.close()
        assert by_clinic(await published(fresh_kafka, 36)) == {spec.clinic_id: list(range(1, 13)) for spec in SPECS}
        assert await cursors(owner) == {spec.clinic_id: 0 for spec in SPECS}
        await plant_many(owner, range(3, 4))
        async with running(Role.RELAY, settings):
            records = await published(fresh_kafka, 48)
        for seqs in by_clinic(records).values():
            assert first_seen(seqs) == list(range(1, 17))
            assert sorted(seqs) == sorted([*range(1, 13), *range(1, 17)])
        assert await cursors(owner) == {spec.clinic_id: 16 for spec in SPECS}


async def test_of_two_relays_one_publishes_and_the_other_takes_over(database: Database, fresh_kafka: Kafka) -> None:
    one, two = (settings_for(database, fresh_kafka, "relay", worker_id=name) for name in ("one", "two"))
    async with database.owner() as owner:
        await seed(owner, SPECS)

        async def leading() -> bool:
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = $1::oid"
            number = await owner.fetchval("SELECT oid FROM pg_database WHERE datname = $1", database.name)
            return bool(await owner.fetchval(held, number))

        async with running(Role.RELAY, one) as first:
            await until(leading)
            async with running(Role.RELAY, two):
                await plant_many(owner, range(4))
                assert by_clinic(await published(fresh_kafka, 48)) == {
                    spec.clinic_id: list(range(1, 17)) for spec in SPECS
                }
                first.cancel()
                await asyncio.wait([first])
                await plant_many(owner, range(4, 6))
                records = await published(fresh_kafka, 72)
        for seqs in by_clinic(records).values():
            assert first_seen(seqs) == list(range(1, 25))


async def test_a_relay_that_lost_its_lock_gets_it_again(database: Database, fresh_kafka: Kafka) -> None:
    async with database.owner() as owner:
        await seed(owner, SPECS)
        async with running(Role.RELAY, settings_for(database, fresh_kafka, "relay")):
            await plant_many(owner, range(1))
            await published(fresh_kafka, 12)
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
                database.name,
            )
            await plant_many(owner, range(1, 2))
            records = await published(fresh_kafka, 24)
        for seqs in by_clinic(records).values():
            assert first_seen(seqs) == list(range(1, 9))


async def test_cursors_never_go_back(database: Database) -> None:
    async with database.owner() as owner:
        await seed(owner, SPECS)
        await outbox.advance(owner, {"0001": 7, "0002": 3})
        await outbox.advance(owner, {"0001": 5, "0002": 4})
        assert await cursors(owner) == {"0001": 7, "0002": 4, "0003": 0}


async def test_a_missing_number_is_not_skipped(database: Database, fresh_kafka: Kafka) -> None:
    spec = SPECS[0]
    insert = "INSERT INTO appointment_events VALUES ($1, $2, 'ref', 'booking.held', now(), $3)"
    async with database.owner() as owner:
        await seed(owner, SPECS)
        for seq in (1, 3):
            await owner.execute(insert, spec.clinic_id, seq, json.dumps({"seq": seq}))
        await owner.execute("UPDATE clinic_counters SET last_seq = 3 WHERE clinic_id = $1", spec.clinic_id)
        async with running(Role.RELAY, settings_for(database, fresh_kafka, "relay")):
            await published(fresh_kafka, 1)
            await plant_many(owner, range(1), SPECS[1:])
            assert by_clinic(await published(fresh_kafka, 9))[spec.clinic_id] == [1]
            await owner.execute(insert, spec.clinic_id, 2, json.dumps({"seq": 2}))
            assert by_clinic(await published(fresh_kafka, 11))[spec.clinic_id] == [1, 2, 3]


async def test_changes_of_the_directory_reach_their_topics_and_leave_the_outbox(
    database: Database, fresh_kafka: Kafka
) -> None:
    async with database.owner() as owner:
        rows = [(topics.CLINIC_DIRECTORY, "0001", '{"n": 1}'), (topics.ACCESS_KEYS, "k", '{"n": 2}')]
        await owner.executemany("INSERT INTO directory_outbox (topic, key, record) VALUES ($1, $2, $3)", rows)
        async with running(Role.RELAY, settings_for(database, fresh_kafka, "relay")):

            async def gone() -> bool:
                return not await owner.fetchval("SELECT count(*) FROM directory_outbox")

            await until(gone)
        for topic, key, record in rows:
            [found] = await everything_in(fresh_kafka, topic)
            assert (found.key.decode(), json.loads(found.value)) == (key, json.loads(record))


async def test_the_events_of_a_clinic_that_moves_stay_in_their_partition(
    database: Database, fresh_kafka: Kafka
) -> None:
    """Or a reader of both partitions might see them in another order."""
    spec = SPECS[0]
    async with database.owner() as owner:
        await seed(owner, SPECS)
        await plant(owner, spec, 0, CONFIRMED)
        async with running(Role.RELAY, settings_for(database, fresh_kafka, "relay")):
            for number, partition in enumerate((3, 0, 2), 1):
                async with owner.transaction():
                    move = await moves.begin(owner, spec.clinic_id, partition)
                    assert move is not None
                    await moves.marker_read(owner, [move.marker])
                await plant(owner, spec, number, CONFIRMED)
            records = await published(fresh_kafka, 16)
    assert {record.partition for record in records} == {spec.partition}
    assert first_seen(by_clinic(records)[spec.clinic_id]) == list(range(1, 17))
