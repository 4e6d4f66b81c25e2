"""What becomes of a booking, whatever its clinic does: on real Kafka, real PostgreSQL and clinics on sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.stack import Kafka
from tests.support.confirming import Site, confirming, sites, until
from tests.support.database import Database

PATIENT = {"clinic_call_seconds": 60.0, "clinic_lease_seconds": 90.0}
"""For calls that are under way until the test ends them."""


class Sites:
    """Makes clinics that live as long as the test."""

    def __init__(self, stack: AsyncExitStack, database: Database, kafka: Kafka) -> None:
        self._stack, self._database, self._kafka = stack, database, kafka

    async def one(self, **more: Any) -> Site:
        (site,) = await self._stack.enter_async_context(sites(self._database, self._kafka, **more))
        return site


@pytest.fixture
async def make(database: Database, fresh_kafka: Kafka) -> AsyncIterator[Sites]:
    async with AsyncExitStack() as stack:
        yield Sites(stack, database, fresh_kafka)


async def test_bookings_are_confirmed_in_order_within_the_limit_and_once(make: Sites) -> None:
    site = await make.one(concurrency=3, behaviour={"capacity": 3})
    bookings = await site.hold(30)
    async with confirming(site):
        await site.until_state("confirmed", "booked", *bookings)
    records = site.records()
    assert len(records) == 30
    assert {record.times_accepted for record in records.values()} == {1}
    stats = site.clinic.stats(0)
    assert (stats.max_in_flight, stats.fates["overloaded"]) == (3, 0)
    row = await site.row(bookings[0])
    assert row["clinic_booking_id"] == records[bookings[0].booking_ref].clinic_booking_id
    assert (row["claims"], row["next_attempt_at"], row["attempts"]) == (1, None, 1)
    starts = [record.start_at for record in sorted(records.values(), key=lambda record: record.accepted_at)]
    ordered = sorted(starts)
    assert max(abs(starts.index(each) - ordered.index(each)) for each in starts) <= 3, (
        "within what is in flight at once"
    )


async def test_a_refusal_tells_the_patient_and_frees_the_seat(make: Sites) -> None:
    site = await make.one(behaviour={"refuse_rate": 1.0, "refuse_reason": "slot_taken"})
    (booking,) = await site.hold()
    async with confirming(site):
        await site.until_state("rejected", "none", booking)
    row = await site.row(booking)
    assert (row["reason"], row["claims"]) == ("slot_taken", 0)
    assert site.calls == 1


async def test_a_dropped_connection_after_booking_is_looked_up_not_repeated(make: Sites) -> None:
    site = await make.one(behaviour={"drop_rate": 1.0}, settle_seconds=20.0)
    (booking,) = await site.hold()
    async with confirming(site):
        await until(lambda: bool(site.records()))
        site.change(drop_rate=0)
        await site.until_state("confirmed", "booked", booking)
    assert (await site.attempts(booking))[0] == ("confirm", "outcome_unknown")
    assert (await site.attempts(booking))[-1] == ("lookup", "booked")
    assert [kind for kind, _ in await site.attempts(booking)].count("confirm") == 1
    assert site.records()[booking.booking_ref].times_accepted == 1


async def test_a_booking_made_after_the_caller_gave_up_is_found_and_is_the_only_one(make: Sites) -> None:
    site = await make.one(
        behaviour={"late_rate": 1.0, "late_after": 2.5},
        settings={"clinic_call_seconds": 1.0, "clinic_lease_seconds": 2.0},
        settle_seconds=3.0,
        honours_idempotency=False,
    )
    (booking,) = await site.hold()
    async with confirming(site):
        await until(lambda: site.in_flight == 1)
        site.change(late_rate=0.0, idempotency=False)
        await site.until_state("confirmed", "booked", booking)
    assert ("lookup", "not_there_yet") in await site.attempts(booking)
    assert [kind for kind, _ in await site.attempts(booking)].count("confirm") == 1
    assert site.records()[booking.booking_ref].times_accepted == 1


async def test_what_is_not_there_when_it_has_settled_is_called_again(make: Sites) -> None:
    site = await make.one(behaviour={"error_rate": 1.0}, settle_seconds=0.5)
    (booking,) = await site.hold()
    async with confirming(site):
        await until(lambda: site.calls >= 1)
        site.change(error_rate=0.0)
        await site.until_state("confirmed", "booked", booking)
    attempts = await site.attempts(booking)
    assert attempts[0] == ("confirm", "outcome_unknown")
    assert attempts[-2:] == [("lookup", "not_there"), ("confirm", "booked")]


async def test_without_look_up_the_same_key_is_sent_again_once_it_has_settled(make: Sites) -> None:
    site = await make.one(behaviour={"drop_rate": 1.0, "lookup": False}, has_lookup=False, settle_seconds=0.5)
    (booking,) = await site.hold()
    async with confirming(site):
        await until(lambda: bool(site.records()))
        site.change(drop_rate=0.0)
        await site.until_state("confirmed", "booked", booking)
    assert await site.attempts(booking) == [("confirm", "outcome_unknown"), ("confirm", "booked")]
    assert site.records()[booking.booking_ref].times_accepted == 1


async def test_without_look_up_and_idempotency_it_stays_unknown_and_others_go_on(make: Sites) -> None:
    site = await make.one(
        behaviour={"drop_rate": 1.0, "lookup": False, "idempotency": False},
        has_lookup=False,
        honours_idempotency=False,
        settle_seconds=0.2,
    )
    (booking,) = await site.hold()
    async with confirming(site):
        await site.until_state("pending", "unknown", booking)
        site.change(drop_rate=0.0)
        await site.ring(booking)
        others = await site.hold(3)
        await site.until_state("confirmed", "booked", *others)
        assert await site.state(booking) == ("pending", "unknown")
    assert await site.attempts(booking) == [("confirm", "outcome_unknown")]
    assert (await site.row(booking))["claims"] == 1


async def test_a_clinic_that_is_down_for_a_while_loses_nothing_and_keeps_the_order(make: Sites) -> None:
    site = await make.one(concurrency=2, behaviour={"capacity": 2, "down": "503", "retry_after": 1})
    bookings = await site.hold(10)
    async with confirming(site):
        await asyncio.sleep(3.0)
        assert site.records() == {}
        tried = site.calls
        assert tried <= 12, "while a clinic is down it is left alone"
        site.change(down=None)
        await site.until_state("confirmed", "booked", *bookings)
    assert {record.times_accepted for record in site.records().values()} == {1}
    in_order = sorted(site.records().values(), key=lambda record: record.accepted_at)
    first = [booking.booking_ref for booking in bookings[:3]]
    assert in_order[0].booking_ref in first


async def test_a_cancel_before_the_call_stops_it(make: Sites) -> None:
    site = await make.one()
    (booking,) = await site.hold(ring=False)
    await site.cancel(booking)
    await site.ring(booking)
    (other,) = await site.hold()
    async with confirming(site):
        await site.until_state("confirmed", "booked", other)
    assert await site.state(booking) == ("cancelled", "none")
    assert site.calls == 1


async def test_a_cancel_during_the_call_is_withdrawn_and_keeps_its_seat_until_then(make: Sites) -> None:
    site = await make.one(settings=PATIENT)
    (booking,) = await site.hold()
    site.door.shut()
    async with confirming(site):
        await until(lambda: site.in_flight == 1)
        await site.cancel(booking)
        row = await site.row(booking)
        assert (row["status"], row["clinic_state"], row["claims"]) == ("cancelled", "calling", 1)
        site.door.let_out(1)
        await site.until_state("cancelled", "withdrawing", booking)
        assert (await site.row(booking))["claims"] == 1
        site.door.let_out()
        await site.until_state("cancelled", "none", booking)
    assert (await site.row(booking))["claims"] == 0
    assert await site.attempts(booking) == [("confirm", "booked"), ("withdraw", "withdrawn")]
    assert site.records()[booking.booking_ref].effective_bookings == 0


async def test_a_cancel_after_the_call_is_withdrawn_until_it_is_acknowledged(make: Sites) -> None:
    site = await make.one()
    (booking,) = await site.hold()
    async with confirming(site):
        await site.until_state("confirmed", "booked", booking)
        site.change(error_rate=1.0)
        await site.cancel(booking)
        await until(lambda: site.calls >= 3)
        row = await site.row(booking)
        assert (row["status"], row["clinic_state"], row["claims"]) == ("cancelled", "withdrawing", 1)
        site.change(error_rate=0.0)
        await site.until_state("cancelled", "none", booking)
    assert (await site.row(booking))["claims"] == 0
    assert site.records()[booking.booking_ref].effective_bookings == 0


async def test_a_cancel_while_the_outcome_is_unknown_is_withdrawn_once_found(make: Sites) -> None:
    site = await make.one(behaviour={"drop_rate": 1.0}, settle_seconds=20.0)
    (booking,) = await site.hold()
    async with confirming(site):
        await site.until_state("pending", "unknown", booking)
        await site.cancel(booking)
        site.change(drop_rate=0.0)
        await site.until_state("cancelled", "none", booking)
    assert (await site.attempts(booking))[-1] == ("withdraw", "withdrawn")
    assert site.records()[booking.booking_ref].effective_bookings == 0


async def test_past_its_deadline_a_booking_is_rejected_and_not_called(make: Sites) -> None:
    site = await make.one()
    (booking,) = await site.hold(ring=False)
    async with site.database.owner() as owner:
        await owner.execute("UPDATE appointments SET hold_until = now() - interval '1 s'")
    await site.ring(booking)
    async with confirming(site):
        await site.until_state("rejected", "none", booking)
    row = await site.row(booking)
    assert (row["reason"], row["claims"]) == ("clinic_unavailable", 0)
    assert site.calls == 0


async def test_a_slow_clinic_holds_up_nobody_in_its_own_partition(make: Sites) -> None:
    """Five clinics on four partitions: the first and the last share one."""
    stack = make._stack
    all_sites = await stack.enter_async_context(sites(make._database, make._kafka, 5, concurrency=2))
    slow, quick = all_sites[0], all_sites[4]
    assert slow.spec.partition == quick.spec.partition
    slow.change(down="hang")
    stuck = await slow.hold(5)
    bookings = await quick.hold(5)
    async with confirming(quick):
        await quick.until_state("confirmed", "booked", *bookings)
        slow.change(down=None)
        await slow.until_state("confirmed", "booked", *stuck)
    assert {record.times_accepted for record in slow.records().values()} == {1}
