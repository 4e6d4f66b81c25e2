"""A clinic's line goes to another worker, or to nobody's doorbells, when the clinic moves; on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.stack import Kafka
from tests.support.confirming import Site, confirming, sites, until
from tests.support.database import Database
from tests.support.topics import groups
from waiting_room.store import moves
from waiting_room.store.journal import Booking
from workers.confirm.intake import GROUP

SLOW = {"latency_mean": 0.3, "latency_sigma": 0.0, "latency_max": 1.0, "capacity": 2}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def move(site: Site, partition: int) -> None:
    """From now on hold and sweep ring for its bookings in that partition."""
    async with site.database.owner() as owner, owner.transaction():
        begun = await moves.begin(owner, site.spec.clinic_id, partition)
        assert begun is not None
        await moves.marker_read(owner, [begun.marker])
    site.spec = replace(site.spec, partition=partition)


async def callers(site: Site) -> list[str]:
    """Which worker made each call, in the order in which they were claimed."""
    async with site.database.owner() as owner:
        rows = await owner.fetch(
            "SELECT split_part(worker_id, '/', 1) AS worker FROM call_attempts "
            "WHERE clinic_id = $1 ORDER BY claimed_at",
            site.spec.clinic_id,
        )
    return [row["worker"] for row in rows]


async def both_share(kafka: Kafka) -> bool:
    """Whether the group is of two, who have both been given their partitions."""
    return await groups(kafka, GROUP) == {GROUP: ("Stable", 2)}


def booked_once(site: Site, bookings: list[Booking]) -> bool:
    records = site.records()
    return records.keys() == {each.booking_ref for each in bookings} and {
        each.times_accepted for each in records.values()
    } == {1}


@pytest.mark.usefixtures("groups_can_be_read")
async def test_the_line_goes_to_the_worker_of_the_new_partition(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    (site,) = await stack.enter_async_context(sites(database, fresh_kafka, behaviour=SLOW, concurrency=2))
    async with confirming(site, worker_id="one"), confirming(site, worker_id="two"):
        await until(lambda: both_share(fresh_kafka))
        bookings = await site.hold(12)
        await until(lambda: len(site.records()) >= 3)
        await move(site, 2)
        bookings += await site.hold(4)
        await site.until_state("confirmed", "booked", *bookings)
        await move(site, 1)
        bookings += await site.hold(4)
        await site.until_state("confirmed", "booked", *bookings)
    assert booked_once(site, bookings)
    who = await callers(site)
    assert sum(one != other for one, other in pairwise(who)) >= 2, "there and back"
    assert who[0] == who[-1] != who[15], who
    assert site.clinic.stats(0).fates["overloaded"] <= 4, "the old owner's calls count for the new one"


async def test_within_one_worker_nothing_is_called_twice(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    (site,) = await stack.enter_async_context(sites(database, fresh_kafka, behaviour=SLOW, concurrency=2))
    bookings = await site.hold(10)
    async with confirming(site):
        await until(lambda: len(site.records()) >= 3)
        await move(site, 3)
        bookings += await site.hold(3)
        await site.until_state("confirmed", "booked", *bookings)
    assert booked_once(site, bookings)
    assert len(await callers(site)) == len(bookings)


async def test_a_worker_that_starts_later_finds_the_line_although_nothing_rings_for_it(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    """Those that moved, and those who have their partition to themselves since others left it."""
    made = await stack.enter_async_context(sites(database, fresh_kafka, 5))
    stays, *_, leaves = made
    assert stays.spec.partition == leaves.spec.partition
    bookings = {site: await site.hold(3, ring=False) for site in (stays, leaves)}
    await move(leaves, 0)
    async with confirming(stays):
        for site, held in bookings.items():
            await site.until_state("confirmed", "booked", *held)


async def test_a_doorbell_in_the_old_partition_leads_to_the_new_one(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    (site,) = await stack.enter_async_context(sites(database, fresh_kafka))
    async with confirming(site):
        await site.until_state("confirmed", "booked", *await site.hold(2))
        old = site.spec
        await move(site, 2)
        site.spec = old
        await site.until_state("confirmed", "booked", *await site.hold(2))


async def test_neighbours_learn_that_they_share_a_partition_now(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    """The full lane of a clinic that hangs has its partition paused, until others need it."""
    made = await stack.enter_async_context(sites(database, fresh_kafka, 2, settings={"confirm_lane_max": 4}))
    comes, there = made
    there.change(down="hang")
    await there.hold(12)
    async with confirming(comes):
        await until(lambda: there.in_flight > 0)
        await move(comes, there.spec.partition)
        await comes.until_state("confirmed", "booked", *await comes.hold(3))
        await comes.until_state("confirmed", "booked", *await comes.hold(3))  # nothing but doorbells tells of these
        there.change(down=None)
