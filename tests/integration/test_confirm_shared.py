"""Several clinics on one partition: a line that cannot move waits in PostgreSQL and holds up nobody's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.stack import Kafka
from tests.support.confirming import Site, confirming, sites, until
from tests.support.database import Database
from waiting_room.topics import CLINIC_CONFIRMATIONS
from workers.confirm.intake import GROUP

LANE_MAX = 8


@pytest.fixture
async def neighbours(database: Database, fresh_kafka: Kafka) -> AsyncIterator[list[Site]]:
    """Two clinics that share a partition, with short lanes."""
    async with AsyncExitStack() as stack:
        all_sites = await stack.enter_async_context(
            sites(database, fresh_kafka, 5, concurrency=2, settings={"confirm_lane_max": LANE_MAX})
        )
        pair = [all_sites[0], all_sites[4]]
        assert pair[0].spec.partition == pair[1].spec.partition
        yield pair


async def committed(kafka: Kafka, partition: int) -> tuple[int | None, int]:
    """(committed offset, end offset)"""
    where = TopicPartition(CLINIC_CONFIRMATIONS, partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        return await consumer.committed(where), (await consumer.end_offsets([where]))[where]
    finally:
        await consumer.stop()


async def test_a_line_longer_than_its_lane_is_worked_off_in_the_order_of_tickets(
    neighbours: list[Site], fresh_kafka: Kafka
) -> None:
    crowded, quiet = neighbours
    crowded.change(down="503", retry_after=0)
    bookings = await crowded.rush(10 * LANE_MAX)
    others = await quiet.hold(3 * LANE_MAX)
    async with confirming(quiet):
        await quiet.until_state("confirmed", "booked", *others)
        # The doorbells of the line that stands still are behind us: nobody waits for them, and none will be read again.

        async def all_read() -> bool:
            offset, end = await committed(fresh_kafka, quiet.spec.partition)
            return offset == end

        await until(all_read)
        assert not crowded.records()
        crowded.change(down=None)
        await crowded.until_state("confirmed", "booked", *bookings)
    records = crowded.records()
    assert {record.times_accepted for record in records.values()} == {1}
    tickets = {booking.booking_ref: booking.ticket or 0 for booking in bookings}
    order = [tickets[each.booking_ref] for each in sorted(records.values(), key=lambda each: each.accepted_at)]
    # Those whose calls failed while the clinic was down come back one by one.
    assert max(abs(place - ticket) for place, ticket in enumerate(order, (order and min(order)) or 0)) <= 8
    assert crowded.clinic.stats(0).max_in_flight <= 2


async def test_a_new_owner_finds_the_line_although_its_doorbells_are_committed(
    neighbours: list[Site], fresh_kafka: Kafka
) -> None:
    crowded, quiet = neighbours
    crowded.change(down="503", retry_after=0)
    bookings = await crowded.rush(4 * LANE_MAX)
    async with confirming(quiet):

        async def all_read() -> bool:
            offset, end = await committed(fresh_kafka, quiet.spec.partition)
            return offset == end > 0

        await until(all_read)
    assert not crowded.records()
    crowded.change(down=None)
    async with confirming(quiet, worker_id="confirm-successor"):
        await crowded.until_state("confirmed", "booked", *bookings)
    assert {record.times_accepted for record in crowded.records().values()} == {1}


async def test_a_new_owner_tries_again_when_the_old_one_would_have(neighbours: list[Site]) -> None:
    """Nobody rings for a retry that is due in a moment, and nothing else of the line makes anybody look again."""
    crowded, quiet = neighbours
    due_at = datetime.now(UTC) + timedelta(seconds=2)
    bookings = await crowded.hold(2, ring=False, next_attempt_at=due_at)
    async with confirming(quiet):
        await crowded.until_state("confirmed", "booked", *bookings)
    assert min(record.accepted_at for record in crowded.records().values()) >= due_at


async def test_cancelled_in_the_overflow_it_is_never_called(neighbours: list[Site]) -> None:
    crowded, quiet = neighbours
    crowded.change(down="503", retry_after=0)
    bookings = await crowded.rush(4 * LANE_MAX)
    given_up = bookings[-1]
    async with confirming(quiet):
        await quiet.until_state("confirmed", "booked", *await quiet.hold(2))
        await crowded.cancel(given_up)
        crowded.change(down=None)
        await crowded.until_state("confirmed", "booked", *bookings[:-1])
    assert await crowded.attempts(given_up) == []
    assert await crowded.state(given_up) == ("cancelled", "none")
