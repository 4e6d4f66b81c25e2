"""Partitions that change hands while lanes are full and calls are under way: real workers, real Kafka, real clinics.

Seven clinics on four partitions: the fourth is alone in its own, which is paused when its lane is full; the others
share theirs by twos, and what does not fit a lane waits in PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.stack import Kafka
from tests.support.confirming import confirming, sites, until
from tests.support.crashed import check_leases_were_waited_for, claim_and_die
from tests.support.database import Database
from tests.support.fleet import (
    Fleet,
    all_confirmed_once,
    called_by,
    fleet,
    moment,
    passed_by_commits,
    undecided,
)
from tests.support.written import WITHDRAWING

CLINICS, ALONE, EACH, MORE = 7, 0, 32, 8
"""How many clinics, the partition of the one that is alone, and how many bookings each gets, at first and later on."""
SETTINGS = {
    "confirm_lane_max": 12,
    "clinic_call_seconds": 2.0,
    "clinic_lease_seconds": 7.5,
    "shutdown_seconds": 5.0,
}
"""Leases that outlast the session (6 s): a new owner meets what a dead one has under way."""
BEHAVIOUR = {"capacity": 9, "latency_mean": 0.3, "latency_sigma": 0.3, "latency_max": 0.9}


@pytest.fixture
async def world(tmp_path: Path, database: Database, fresh_kafka: Kafka) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        many = await stack.enter_async_context(
            sites(database, fresh_kafka, CLINICS, concurrency=2, behaviour=BEHAVIOUR, settings=SETTINGS)
        )
        yield await stack.enter_async_context(fleet(tmp_path, many))


async def nothing_is_passed_by(world: Fleet, kafka: Kafka) -> None:
    """What was committed is done, where nothing but a doorbell tells of a booking."""
    passed: dict[int, set[str]] = {}

    async def something_was_committed() -> bool:
        passed.update(await passed_by_commits(kafka))
        return bool(passed[ALONE])

    await until(something_was_committed)
    left = await undecided(world.sites[0])
    assert not passed[ALONE] & left


async def test_workers_join_leave_and_die_and_every_booking_is_confirmed_once(world: Fleet, fresh_kafka: Kafka) -> None:
    await world.join("a", "b")
    await world.rush(EACH)
    await world.until_done(30)
    await until(world.any_paused)
    await world.join("c")
    await world.rush(MORE)  # or all might be done before what comes next has begun
    await world.until_done(world.done() + 20)
    await world.leave("b")
    await nothing_is_passed_by(world, fresh_kafka)
    await world.rush(MORE)
    await world.until_done(world.done() + 5)
    await world.kill("a", "c")
    assert await undecided(world.sites[0])
    await nothing_is_passed_by(world, fresh_kafka)
    await world.join("d", "e")
    await all_confirmed_once(world.sites, EACH + 2 * MORE, 60)


async def test_a_worker_that_stood_still_touches_nothing_that_is_anothers_by_now(
    world: Fleet, fresh_kafka: Kafka
) -> None:
    await world.join("zombie", "b")
    await world.rush(EACH)
    await world.until_done(30)
    zombie, other = world.workers["zombie"], world.workers["b"]
    zombie.freeze()
    before = len(other.said("partitions_assigned"))
    await until(lambda: len(other.said("partitions_assigned")) > before)
    joins = len(zombie.said("partitions_assigned"))
    thawed_at = datetime.now(UTC)
    zombie.thaw()
    await until(lambda: len(zombie.said("partitions_assigned")) > joins)
    again_at = moment(zombie.said("partitions_assigned")[joins])
    assert zombie.said("stood_still")
    assert not await called_by(world.sites[0], "zombie", thawed_at, again_at)
    await nothing_is_passed_by(world, fresh_kafka)
    await all_confirmed_once(world.sites, EACH, 60)


async def test_nothing_is_called_before_a_new_owner_knows_what_the_last_one_left(
    database: Database, fresh_kafka: Kafka
) -> None:
    """Two calls are under way at each of two clinics that take no more. One shares its partition: the last owner had
    passed over its whole line. For the other, what goes before everything else is rung for.
    """
    async with sites(database, fresh_kafka, 5, concurrency=2, behaviour={"capacity": 9}) as many:
        shared, alone = many[0], many[3]
        assert shared.spec.partition == many[4].spec.partition
        for site in (shared, alone):
            for booking in await site.hold(2, ring=site is alone):
                await claim_and_die(site, booking, lease_seconds=5.0)
        await shared.hold(4, ring=False)
        newest = await shared.hold()
        withdrawn = await alone.hold(events=WITHDRAWING, ring=False)
        await alone.ring(*withdrawn, priority=True)
        async with confirming(shared):
            async with database.owner() as owner, owner.transaction():
                await owner.execute("LOCK TABLE call_attempts")
                await asyncio.sleep(1.0)
            await until(lambda: len(shared.records()) == 7 and len(alone.records()) == 2)
            await alone.until_state("cancelled", "none", *withdrawn)
    called = sorted(shared.records().values(), key=lambda record: record.accepted_at)
    assert newest[0].booking_ref in {record.booking_ref for record in called[-4:]}, "those before it went first"
    for site in (shared, alone):
        await check_leases_were_waited_for(site)
        assert site.clinic.stats(0).max_in_flight <= 2


async def test_a_call_that_outlasts_the_shutdown_is_handed_over(database: Database, fresh_kafka: Kafka) -> None:
    times = {"shutdown_seconds": 0.5, "clinic_call_seconds": 2.5, "clinic_lease_seconds": 3.5}
    async with sites(database, fresh_kafka, concurrency=1, behaviour={"capacity": 9}, settings=times) as [site]:
        first, *others = await site.hold(3)
        site.door.shut()
        async with confirming(site):
            await until(lambda: site.in_flight == 1)
        assert await site.state(first) == ("pending", "calling"), "its lease is all that is left of it"
        site.door.let_out()
        async with confirming(site, worker_id="next"):
            await site.until_state("confirmed", "booked", first, *others)
        assert await site.attempts(first) == [("confirm", "expired"), ("lookup", "booked")]
    assert {record.times_accepted for record in site.records().values()} == {1}
    assert site.clinic.stats(0).max_in_flight == 1
