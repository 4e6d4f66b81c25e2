"""Sweep on real servers: what ran out is rejected and frees its seat, what nobody works on is rung for, once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.log import everything_in, until
from tests.support.running import running
from tests.support.world import clinics, seed, settings_for
from tests.support.written import CALLING, CONFIRMED, HELD, UNKNOWN, VERIFYING, WITHDRAWING, plant
from waiting_room import topics
from waiting_room.kafka import Producer
from waiting_room.messages import Confirmation, Reader
from waiting_room.settings import Settings
from waiting_room.store.journal import Booking
from waiting_room.store.pool import Connection, create_pool
from workers.assemble import Role
from workers.sweep import sweep
from workers.sweep.expire import expire

REST = "http://127.0.0.1:9/clinics"
_read: Reader[Confirmation] = Reader(Confirmation)


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


RING_AFTER = 300.0
"""Longer than a test lasts on any machine."""


def sweep_settings(database: Database, kafka: Kafka, ring_after: float = RING_AFTER) -> Settings:
    return settings_for(database, kafka, "sweep", sweep_every_seconds=0.1, sweep_ring_after_seconds=ring_after)


async def lease(owner: Connection, booking: Booking, until_at: datetime) -> None:
    await owner.execute(
        "INSERT INTO call_attempts (clinic_id, booking_ref, attempt, kind, revision, worker_id, lease_until) "
        "VALUES ($1, $2, 1, 'confirm', 1, 'somebody', $3)",
        booking.clinic_id,
        booking.booking_ref,
        until_at,
    )


async def rung(kafka: Kafka, topic: str = topics.CLINIC_CONFIRMATIONS) -> list[str]:
    return [_read(record.value).booking_ref for record in await everything_in(kafka, topic)]


async def states(owner: Connection) -> dict[str, tuple[str, str, str | None]]:
    rows = await owner.fetch("SELECT booking_ref, status, clinic_state, reason FROM appointments")
    return {row["booking_ref"]: (row["status"], row["clinic_state"], row["reason"]) for row in rows}


async def test_holds_that_ran_out_are_rejected_unless_a_call_is_under_way(
    database: Database, fresh_kafka: Kafka
) -> None:
    [spec] = clinics(1, endpoint=REST)
    async with database.owner() as owner:
        await seed(owner, [spec])
        over = ago(1)
        held = await plant(owner, spec, 1, HELD, hold_until=over)
        unknown = await plant(owner, spec, 2, UNKNOWN, hold_until=over)
        calling = await plant(owner, spec, 3, CALLING, hold_until=over)
        looked_up = await plant(owner, spec, 4, UNKNOWN, hold_until=over)
        await lease(owner, looked_up, datetime.now(UTC) + timedelta(seconds=RING_AFTER))
        in_time = await plant(owner, spec, 5, HELD)
        confirmed = await plant(owner, spec, 6, CONFIRMED, hold_until=over)
        async with running(Role.SWEEP, sweep_settings(database, fresh_kafka)):

            async def rejected() -> bool:
                return list((await states(owner)).values()).count(("rejected", "none", "clinic_unavailable")) == 1

            await until(rejected)
        assert await states(owner) == {
            held.booking_ref: ("rejected", "none", "clinic_unavailable"),
            unknown.booking_ref: ("rejected", "unknown", "clinic_unavailable"),
            calling.booking_ref: ("pending", "calling", None),
            looked_up.booking_ref: ("pending", "unknown", None),
            in_time.booking_ref: ("pending", "none", None),
            confirmed.booking_ref: ("confirmed", "booked", None),
        }
        seats = {row["booking_ref"] for row in await owner.fetch("SELECT booking_ref FROM seat_claims")}
        assert seats == set(await states(owner)) - {held.booking_ref}
        events = await owner.fetch("SELECT event FROM appointment_events WHERE booking_ref = $1", held.booking_ref)
        assert [row["event"] for row in events] == ["booking.accepted", "booking.held", "booking.rejected"]
        assert await owner.fetchval("SELECT line FROM clinic_counters") == 3


async def test_a_clinic_that_is_locked_keeps_no_other_waiting(database: Database, fresh_kafka: Kafka) -> None:
    specs = clinics(3, endpoint=REST)
    pool = await create_pool(sweep_settings(database, fresh_kafka), "sweep")
    try:
        async with database.owner() as owner, database.owner() as somebody:
            await seed(owner, specs)
            for spec in specs:
                await plant(owner, spec, 1, HELD, hold_until=ago(1))
            async with somebody.transaction():
                await somebody.execute("SELECT * FROM clinic_counters WHERE clinic_id = '0002' FOR UPDATE")
                assert await expire(pool) == 2
            assert await expire(pool) == 1
            assert await expire(pool) == 0
    finally:
        await pool.close()


async def test_two_sweeps_reject_once(database: Database, fresh_kafka: Kafka) -> None:
    [spec] = clinics(1, endpoint=REST)
    pool = await create_pool(sweep_settings(database, fresh_kafka), "sweep")
    try:
        async with database.owner() as owner:
            await seed(owner, [spec])
            for number in range(40):
                await plant(owner, spec, number, HELD, hold_until=ago(1))
            assert sum(await asyncio.gather(expire(pool), expire(pool), expire(pool))) == 40
            assert await owner.fetchval("SELECT last_seq FROM clinic_counters") == 120
    finally:
        await pool.close()


async def test_bookings_in_nobodys_lane_are_rung_for_once(database: Database, fresh_kafka: Kafka) -> None:
    spec, builtin = clinics(2, endpoint=REST)[0], clinics(2)[1]
    async with database.owner() as owner:
        await seed(owner, [spec, builtin])
        long_ago, soon = ago(2 * RING_AFTER), datetime.now(UTC) + timedelta(seconds=RING_AFTER)
        lost = await plant(owner, spec, 1, HELD, since=long_ago)
        await plant(owner, spec, 2, HELD)  # held a moment ago: still on its way
        await plant(owner, spec, 3, HELD, since=long_ago, next_attempt_at=soon)  # parked
        called = await plant(owner, spec, 4, CALLING, since=long_ago)
        await lease(owner, called, soon)
        caller_died = await plant(owner, spec, 5, CALLING)
        await lease(owner, caller_died, ago(1))
        to_look_up = await plant(owner, spec, 6, UNKNOWN, next_attempt_at=ago(1))
        await plant(owner, spec, 7, UNKNOWN, next_attempt_at=soon)
        withdrawing = await plant(owner, spec, 8, WITHDRAWING, since=long_ago)
        await plant(owner, spec, 9, WITHDRAWING)  # rung for by whoever cancelled it
        await plant(owner, builtin, 1, HELD, since=long_ago)  # no clinic to call
        to_verify = await plant(owner, builtin, 2, VERIFYING, since=long_ago)
        async with running(Role.SWEEP, sweep_settings(database, fresh_kafka)):

            async def all_rung() -> bool:
                return len(await rung(fresh_kafka)) >= 4 and bool(
                    await rung(fresh_kafka, topics.CLINIC_CONFIRMATIONS_PRIORITY)
                )

            await until(all_rung)
            await asyncio.sleep(0.5)  # rounds in which nothing may be rung twice
        heard = (lost, caller_died, to_look_up, to_verify)
        assert sorted(await rung(fresh_kafka)) == sorted(each.booking_ref for each in heard)
        assert await rung(fresh_kafka, topics.CLINIC_CONFIRMATIONS_PRIORITY) == [withdrawing.booking_ref]
        records = await everything_in(fresh_kafka, topics.CLINIC_CONFIRMATIONS)
        where = {(record.key.decode(), record.partition) for record in records}
        assert where == {(each.clinic_id, each.partition) for each in (spec, builtin)}


async def test_it_rings_again_after_a_while_and_whenever_an_attempt_comes_due(
    database: Database, fresh_kafka: Kafka
) -> None:
    [spec] = clinics(1, endpoint=REST)
    async with database.owner() as owner:
        await seed(owner, [spec])
        unheard = await plant(owner, spec, 1, HELD, since=ago(60))

        async def times(booking: Booking, count: int) -> None:
            async def enough() -> bool:
                return (await rung(fresh_kafka)).count(booking.booking_ref) >= count

            await until(enough)

        async with running(Role.SWEEP, sweep_settings(database, fresh_kafka, ring_after=1)):
            await times(unheard, 3)
        retried = await plant(owner, spec, 2, UNKNOWN, next_attempt_at=ago(1))
        async with running(Role.SWEEP, sweep_settings(database, fresh_kafka, ring_after=3_000)):
            await times(retried, 1)
            await owner.execute(
                "UPDATE appointments SET next_attempt_at = clock_timestamp() WHERE booking_ref = $1",
                retried.booking_ref,
            )
            await times(retried, 2)


async def test_of_a_long_line_only_the_front_is_rung_for(database: Database, fresh_kafka: Kafka) -> None:
    [spec] = clinics(1, endpoint=REST, concurrency=3)
    async with database.owner() as owner:
        await seed(owner, [spec])
        long_ago = ago(2 * RING_AFTER)
        line = [await plant(owner, spec, number, HELD, since=long_ago) for number in range(12)]
        async with running(Role.SWEEP, sweep_settings(database, fresh_kafka)):

            async def enough() -> bool:
                return len(await rung(fresh_kafka)) >= 6

            await until(enough)
            await asyncio.sleep(0.5)
        assert await rung(fresh_kafka) == [booking.booking_ref for booking in line[:6]]


class Away:
    """A producer that takes what it is given and hears nothing of it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def send_all(self, _: object) -> None:
        self.asked.set()
        await asyncio.Event().wait()


async def test_holds_run_out_in_time_while_kafka_is_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that had to ring waited for Kafka, and what it did not come to was extended too late, or never."""
    monkeypatch.setattr(sweep, "ASK_SECONDS", 0.05)
    [spec] = clinics(1, endpoint=REST)
    away, finish = Away(), asyncio.Event()
    settings = settings_for(database, None, "sweep", sweep_every_seconds=0.05)
    pool = await create_pool(settings, "sweep")
    sweeping = asyncio.create_task(sweep.Sweep(settings, pool, cast(Producer, away)).run(finish))
    try:
        async with database.owner() as owner:
            await seed(owner, [spec])
            await plant(owner, spec, 1, HELD, since=ago(60))
            await asyncio.wait_for(away.asked.wait(), 60)
            over = await plant(owner, spec, 2, HELD, hold_until=ago(1))

            async def rejected() -> bool:
                return (await states(owner))[over.booking_ref][0] == "rejected"

            await until(rejected)
    finally:
        finish.set()
        await sweeping
        await pool.close()
