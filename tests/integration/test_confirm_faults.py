"""Confirm through what happens to itself: crashes, hand-overs, redelivery, shutdown, a database that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic import SecretStr

from tests.stack import Kafka
from tests.support.confirming import Site, confirming, sites, until
from tests.support.crashed import check_leases_were_waited_for, claim_and_die
from tests.support.cut_proxy import cut_proxy
from tests.support.database import Database
from tests.support.log import everything_in
from waiting_room.dead_letters import REASON, SOURCE_OFFSET, SOURCE_TOPIC
from waiting_room.messages import ClinicPulse, Pulse, Reader, encode
from waiting_room.messages import Confirmation as Doorbell
from waiting_room.store.journal import Booking, Journal
from waiting_room.topics import CLINIC_CONFIRMATIONS, CLINIC_CONFIRMATIONS_PRIORITY, CLINIC_PULSE, dead_letters_of
from workers.confirm.intake import GROUP

_pulse: Reader[Pulse] = Reader(Pulse)
SLOW = {"latency_mean": 0.4, "latency_sigma": 0.0, "latency_max": 1.0}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def committed(kafka: Kafka, site: Site) -> int | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition(CLINIC_CONFIRMATIONS, site.spec.partition))
        return offset
    finally:
        await consumer.stop()


async def one(stack: AsyncExitStack, database: Database, kafka: Kafka, **more: Any) -> Site:
    (site,) = await stack.enter_async_context(sites(database, kafka, **more))
    return site


async def book_at_clinic(site: Site, booking: Booking) -> None:
    row = await site.row(booking)
    assert site.spec.endpoint is not None
    body = {name: row[name] for name in ("booking_ref", "revision", "provider_id", "seat", "service_type")}
    body |= {"start_at": row["start_at"].isoformat(), "end_at": row["end_at"].isoformat(), "patient": {"id": "p"}}
    key = {"Idempotency-Key": f"{booking.booking_ref}:1"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{site.spec.endpoint}/bookings", json=body, headers=key) as response,
    ):
        assert response.status == 201


@pytest.mark.parametrize("was_sent", [True, False], ids=["sent", "not sent"])
async def test_after_a_crash_the_new_owner_waits_for_the_lease_then_asks(
    was_sent: bool, stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    site = await one(stack, database, fresh_kafka, settle_seconds=2.0)
    (booking,) = await site.hold(ring=False)
    await claim_and_die(site, booking, lease_seconds=3.0)
    if was_sent:
        await book_at_clinic(site, booking)
    await site.ring(booking)
    async with confirming(site):
        await site.until_state("confirmed", "booked", booking)
    await check_leases_were_waited_for(site)
    assert site.records()[booking.booking_ref].times_accepted == 1
    assert (await site.attempts(booking))[:2] == [
        ("confirm", "expired"),
        ("lookup", "booked" if was_sent else "not_there_yet"),
    ]


async def test_a_dead_workers_live_leases_count_as_in_flight(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    site = await one(stack, database, fresh_kafka, concurrency=2, behaviour={"capacity": 9, **SLOW})
    bookings = await site.hold(6, ring=False)
    for booking in bookings[:2]:
        await claim_and_die(site, booking, lease_seconds=4.0)
    await site.ring(*bookings)
    async with confirming(site):
        await site.until_state("confirmed", "booked", *bookings)
    await check_leases_were_waited_for(site)
    assert site.clinic.stats(0).max_in_flight <= 2


async def test_told_to_finish_it_ends_its_calls_and_leaves_the_rest_to_the_next(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    site = await one(stack, database, fresh_kafka, concurrency=2, behaviour={"capacity": 2, **SLOW})
    bookings = await site.hold(9)
    async with confirming(site):
        await until(lambda: len(site.records()) >= 2)
    states = [await site.state(booking) for booking in bookings]
    done = states.count(("confirmed", "booked"))
    assert 2 <= done < 9
    assert states == [("confirmed", "booked")] * done + [("pending", "none")] * (9 - done)
    assert await committed(fresh_kafka, site) == done
    assert site.in_flight == 0
    async with confirming(site, worker_id="the next"):
        await site.until_state("confirmed", "booked", *bookings)
    assert {record.times_accepted for record in site.records().values()} == {1}
    assert site.calls == 9


async def test_finished_work_that_is_rung_for_again_is_recognised(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    site = await one(stack, database, fresh_kafka)
    bookings = await site.hold(10)
    async with confirming(site):
        await site.until_state("confirmed", "booked", *bookings)
    for _ in range(2):
        await site.ring(*bookings)
    async with confirming(site):
        await until(lambda: site_committed(fresh_kafka, site, 30))
    assert site.calls == 10


async def site_committed(kafka: Kafka, site: Site, offset: int) -> bool:
    return await committed(kafka, site) == offset


async def test_what_cannot_be_read_is_put_aside_and_the_partition_moves_on(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    site = await one(stack, database, fresh_kafka)
    (first,) = await site.hold(ring=False)
    stranger = Doorbell(
        booking_ref="ZZZZ-0000-0000-0000-0000", clinic_id="ZZZZ", revision=1, ticket=1, held_at=first.accepted_at
    )
    await site.append(b"\x00 no message")
    await site.append(b"urgent, but no message", priority=True)
    await site.append(encode(stranger), key="ZZZZ")
    await site.append(None)
    await site.ring(first)
    async with confirming(site):
        await site.until_state("confirmed", "booked", first)
        await until(lambda: site_committed(fresh_kafka, site, 4))
        letters: list[ConsumerRecord] = []

        async def all_aside() -> bool:
            letters[:] = await everything_in(fresh_kafka, dead_letters_of(CLINIC_CONFIRMATIONS))
            return len(letters) == 4

        await until(all_aside)
    [urgent] = [each for each in letters if dict(each.headers)[SOURCE_TOPIC] == CLINIC_CONFIRMATIONS_PRIORITY.encode()]
    assert urgent.value == b"urgent, but no message"
    letters.remove(urgent)
    found = {dict(each.headers)[SOURCE_OFFSET]: (each.value, dict(each.headers)[REASON]) for each in letters}
    assert set(found) == {b"0", b"1", b"2"}
    assert found[b"0"][0] == b"\x00 no message"
    assert found[b"1"] == (encode(stranger), b"unknown clinic ZZZZ")


async def test_a_row_that_is_no_call_is_rejected_and_its_doorbell_put_aside(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    site = await one(stack, database, fresh_kafka)
    (broken,) = await site.hold(ring=False)
    async with database.owner() as owner:
        await owner.execute("""UPDATE appointments SET patient = '{"canary": "7391"}'""")
    await site.ring(broken)
    (fine,) = await site.hold()
    async with confirming(site):
        await site.until_state("confirmed", "booked", fine)
        await site.until_state("rejected", "none", broken)
    assert (await site.row(broken))["reason"] == "unprocessable"
    assert site.calls == 1
    (letter,) = await everything_in(fresh_kafka, dead_letters_of(CLINIC_CONFIRMATIONS))
    assert not [word for word in (b"canary", b"7391") if word in dict(letter.headers)[REASON]], "no patient data"


async def test_workers_come_and_go_and_no_clinic_is_called_twice_or_above_its_limit(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    many = await stack.enter_async_context(
        sites(database, fresh_kafka, 4, concurrency=2, behaviour={"capacity": 9, "latency_mean": 0.15})
    )
    bookings = {site: await site.hold(40) for site in many}
    async with AsyncExitStack() as workers:
        await workers.enter_async_context(confirming(many[0], worker_id="first"))
        await until(lambda: sum(len(site.records()) for site in many) > 20)
        async with confirming(many[0], worker_id="second"):
            await until(lambda: sum(len(site.records()) for site in many) > 70)
        await until(lambda: sum(len(site.records()) for site in many) > 100)
        async with confirming(many[0], worker_id="third"):
            await workers.aclose()
            for site in many:
                await site.until_state("confirmed", "booked", *bookings[site])
    for site in many:
        assert {record.times_accepted for record in site.records().values()} == {1}
        stats = site.clinic.stats(0)
        assert stats.calls == 40
        assert stats.max_in_flight <= 2


async def test_while_postgres_is_away_nothing_is_spent_and_nothing_is_forgotten(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    site = await one(stack, database, fresh_kafka, concurrency=2, behaviour={"capacity": 2, **SLOW})
    direct = urlsplit(site.settings.postgres_dsn.get_secret_value())
    assert direct.port is not None
    proxy, port = await stack.enter_async_context(cut_proxy(direct.port))
    dsn = SecretStr(direct._replace(netloc=direct.netloc.replace(f":{direct.port}", f":{port}")).geturl())
    bookings = await site.hold(6)
    async with confirming(site, postgres_dsn=dsn):
        await until(lambda: site.in_flight == 2)
        proxy.cut()
        await asyncio.sleep(2.5)
        called = site.calls
        assert called <= 4, "a call that cannot be claimed is not made"
        proxy.mend()
        await site.until_state("confirmed", "booked", *bookings)
    assert {record.times_accepted for record in site.records().values()} == {1}
    for booking in bookings:
        assert [kind for kind, _ in await site.attempts(booking)].count("confirm") <= 2


async def test_a_clinic_whose_row_is_locked_holds_up_no_other(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    locked, *others = await stack.enter_async_context(sites(database, fresh_kafka, 4))
    async with confirming(locked):
        (early,) = await locked.hold()
        await locked.until_state("confirmed", "booked", early)
        (waiting,) = await locked.hold(ring=False)
        held = {site: await site.hold(20, ring=False) for site in others}
        async with database.owner() as frozen, frozen.transaction():
            await Journal.open(frozen, [locked.spec.clinic_id])
            await locked.ring(waiting)
            for site in others:
                await site.ring(*held[site])
            for site in others:
                await site.until_state("confirmed", "booked", *held[site])
            assert await locked.state(waiting) == ("pending", "none")
        await locked.until_state("confirmed", "booked", waiting)


async def test_the_pulse_tells_line_pace_and_breaker(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    site = await one(stack, database, fresh_kafka, concurrency=3)
    bookings = await site.hold(12)
    async with confirming(site, worker_id="teller"):
        await site.until_state("confirmed", "booked", *bookings)
        site.change(down="503", retry_after=0)
        await site.hold()

        async def told_of_an_outage() -> ClinicPulse | None:
            records = await everything_in(fresh_kafka, CLINIC_PULSE)
            assert {record.key for record in records} <= {b"teller"}
            last = _pulse(records[-1].value).clinics.get(site.spec.clinic_id) if records else None
            at_rest = last is not None and (last.breaker_open, last.line, last.in_flight) == (True, 1, 0)
            return last if at_rest else None

        async with asyncio.timeout(60):
            while (told := await told_of_an_outage()) is None:
                pass
    assert told.limit == 3
    assert told.call_seconds is not None
    assert 0.01 < told.call_seconds < site.settings.clinic_call_seconds
    assert told.call_sigma_seconds is not None
    async with database.owner() as owner:
        seq = await owner.fetchval("SELECT last_seq FROM clinic_counters WHERE clinic_id = $1", site.spec.clinic_id)
    assert told.seq <= seq


async def test_the_outcome_of_a_call_that_could_not_be_stored_is_asked_for_again(
    stack: AsyncExitStack, database: Database, fresh_kafka: Kafka
) -> None:
    """A call was made, its outcome cannot be stored: the next claim must not take it for one that was never sent."""
    site = await one(
        stack, database, fresh_kafka, behaviour={"idempotency": False}, honours_idempotency=False, settle_seconds=0.3
    )
    async with database.owner() as owner:
        await owner.execute(
            """
            CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.outcome = 'booked' AND NEW.kind = 'confirm' THEN RAISE EXCEPTION 'spoilt'; END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER spoil BEFORE UPDATE ON call_attempts FOR EACH ROW EXECUTE FUNCTION spoil()
            """
        )
    (booking,) = await site.hold()
    async with confirming(site):
        await site.until_state("confirmed", "booked", booking)
    assert await site.attempts(booking) == [("confirm", "expired"), ("lookup", "booked")]
    assert site.records()[booking.booking_ref].times_accepted == 1
