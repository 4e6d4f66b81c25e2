"""Doses are short on somebody's day and there are some on another: the last to have booked go there, and are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.stack import Kafka
from tests.support.commands import IN_TIME, appended, book, record
from tests.support.confirming import confirming, sites, until
from tests.support.database import Database
from tests.support.holding import Hold, check_counters, rows_of, seeded
from tests.support.log import everything_in
from tests.support.stocked import FLU, LATER, counted, lot, lots_of, reserved, stocked
from tests.support.world import ClinicSpec, clinics, settings_for, tomorrow
from waiting_room.kafka import Producer
from waiting_room.messages import Book, Command, Reader, Shortage
from waiting_room.store import stock
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Pool, create_pool
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold.closing import NOTICE
from workers.hold.read import Item, item_of
from workers.sweep.fill import fill
from workers.sweep.rebook import rebook

SOON = tomorrow().date() + timedelta(days=3)
THEIR_DAY = tomorrow() + timedelta(days=9)
_read: Reader[Command] = Reader(Command)


def shortage(spec: ClinicSpec, offset: int) -> list[Item]:
    now = datetime.now(UTC)
    message = Shortage(clinic_id=spec.clinic_id, product=FLU, requested_at=now, accept_by=now + IN_TIME)
    found = item_of(record(message, offset=offset))
    assert found is not None
    return [found]


@pytest.fixture
async def sweep_pool(database: Database) -> AsyncIterator[Pool]:
    pool = await create_pool(settings_for(database, None, "sweep"), "sweep")
    yield pool
    await pool.close()


async def test_whose_appointment_is_over_does_not_take_the_doses_of_those_who_come(
    database: Database, hold: Hold, sweep_pool: Pool
) -> None:
    """Where nobody says who was seen, a count says how many doses are gone, and not whose they were."""
    (spec,) = clinics(1, capacity=5)
    await seeded(database, [spec])
    commands = [book(spec, f"key {number}") for number in range(4)]
    seen, arrived, unseen, comes = commands
    await stocked(database, spec, lot("a", 4))
    await hold(appended(*commands))
    over = "UPDATE appointments SET start_at = now() - $1::interval, end_at = now() - interval '1 minute', status = $2 "
    async with database.owner() as owner:
        for command, minutes, status in ((seen, 40, "confirmed"), (arrived, 40, "arrived"), (unseen, 40, "confirmed")):
            await owner.execute(
                f"{over} WHERE booking_ref = $3", timedelta(minutes=minutes), status, command.booking_ref
            )
        assert await counted(owner, spec, lot("a", 3)) == []
        assert await counted(owner, spec, lot("a", 2)) == []
    claims = await rows_of(database, "SELECT booking_ref FROM dose_claims")
    assert {row["booking_ref"] for row in claims} == {arrived.booking_ref, comes.booking_ref}
    async with database.owner() as owner:
        assert await counted(owner, spec, lot("a", 1)) == [comes.booking_ref]
        await owner.execute(
            "UPDATE appointments SET start_at = now() - interval '1 hour', end_at = now() - interval '1 minute'"
        )
        assert await counted(owner, spec, lot("a", 2)) == []
        assert await stock.short(owner) == []
    assert await reserved(database) == {"a": 1}


async def booked(database: Database, hold: Hold, spec: ClinicSpec, count: int) -> list[Book]:
    """So many on a day for which only the lot that lasts will do; then all but one of its doses are gone, and there are
    others that will not last so long.
    """
    commands = [
        book(spec, f"key {number}", start_at=THEIR_DAY + timedelta(minutes=30 * number)) for number in range(count)
    ]
    await stocked(database, spec, lot("lasts", count))
    await hold(appended(*commands))
    async with database.owner() as owner:
        short = await counted(owner, spec, lot("lasts", 1), lot("soon", 2, SOON))
    assert short == [each.booking_ref for each in commands[1:]]
    return commands


async def held(database: Database, spec: ClinicSpec) -> list[Booking]:
    async with database.owner() as owner, owner.transaction():
        journal = await Journal.open(owner, [spec.clinic_id])
        refs = await owner.fetch("SELECT booking_ref FROM appointments")
        return list((await journal.load([(spec.clinic_id, row["booking_ref"]) for row in refs])).values())


async def starts(database: Database) -> dict[str, datetime]:
    rows = await rows_of(database, "SELECT booking_ref, start_at FROM appointments")
    return {row["booking_ref"]: row["start_at"] for row in rows}


async def test_the_last_to_book_go_first_to_where_there_are_doses(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    kept, third, second, last = await booked(database, hold, clinic, 4)
    outcome = await hold(shortage(clinic, 4))
    assert [each.booking_ref for each in outcome.decided] == [last.booking_ref, second.booking_ref]
    at = await starts(database)
    assert at[last.booking_ref] >= datetime.now(UTC) + NOTICE - timedelta(minutes=1)
    assert at[last.booking_ref] < at[second.booking_ref], "first in line"
    assert at[second.booking_ref].date() <= SOON
    assert at[kept.booking_ref] == kept.start_at
    assert at[third.booking_ref] == third.start_at, "nothing is left for it"
    assert await reserved(database) == {"lasts": 1, "soon": 2}
    async with database.owner() as owner:
        [short] = await stock.short(owner)
        assert short.booking_ref == third.booking_ref
        moved = await stock.rebooked(owner)
        assert {(each.booking_ref, each.product, each.outcome) for each in moved} == {
            (ref, FLU, "rescheduled") for ref in (last.booking_ref, second.booking_ref)
        }
    told = "SELECT booking_ref, record ->> 'by' AS by FROM appointment_events WHERE event = 'booking.rescheduled'"
    assert {row["by"] for row in await rows_of(database, told)} == {"clinic"}
    await check_counters(database)
    await hold(shortage(clinic, 5))
    assert await starts(database) == at, "asked again, it finds nothing to do"
    assert len(await rows_of(database, "SELECT FROM seat_claims")) == 4
    assert all(each.balanced for each in await lots_of(database))


async def test_its_clinic_is_asked_and_a_booking_it_will_not_move_is_off(
    database: Database, fresh_kafka: Kafka, hold: Hold
) -> None:
    async with sites(database, fresh_kafka) as [site], confirming(site):
        _, last = await booked(database, hold, site.spec, 2)
        bookings = await held(database, site.spec)
        await site.ring(*bookings)
        await site.until_state("confirmed", "booked", *bookings)
        outcome = await hold(shortage(site.spec, 2))
        [moving] = outcome.due
        assert moving.booking_ref == last.booking_ref
        await site.ring(moving)

        async def moved() -> bool:
            return bool((await site.row(moving))["revision"] == 2)

        await until(moved)
        assert (await site.row(moving))["start_at"].date() <= SOON
        assert (await site.state(moving)) == ("confirmed", "booked")


async def test_sweep_gives_what_will_do_and_has_the_rest_rebooked_once_in_a_while(
    database: Database, fresh_kafka: Kafka, hold: Hold, sweep_pool: Pool
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    await booked(database, hold, clinic, 3)
    producer = Producer(settings_for(database, fresh_kafka, "sweep"))
    await producer.start()
    try:
        assert await fill(sweep_pool) == 0, "what there is expires before their day"
        assert await rebook(sweep_pool, producer) == 1
        assert await rebook(sweep_pool, producer) == 0, "it was asked for just now"
    finally:
        await producer.stop()
    [asked] = [_read(each.value) for each in await everything_in(fresh_kafka, BOOKING_REQUESTS)]
    assert isinstance(asked, Shortage)
    assert (asked.clinic_id, asked.product) == (clinic.clinic_id, FLU)
    async with database.owner() as owner:
        await counted(owner, clinic, lot("lasts", 3, LATER), lot("soon", 2, SOON))
        assert await stock.short(owner) == []
    assert await fill(sweep_pool) == 0
