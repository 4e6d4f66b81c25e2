"""A clinic closes for a while: the time is blocked, and who was booked is moved or told, in the order of booking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import ConsumerRecord

from tests.stack import Kafka
from tests.support.calendars import put_override
from tests.support.commands import IN_TIME, appended, book, cancel, record, reschedule
from tests.support.confirming import Site, confirming, sites, until
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, rows_of, seeded
from tests.support.log import everything_in
from tests.support.world import ClinicSpec, clinics, settings_for, tomorrow
from waiting_room.domain.appointment import EventType, Reason
from waiting_room.domain.availability.rules import Override, OverrideKind
from waiting_room.kafka import Producer
from waiting_room.messages import Closure
from waiting_room.store import bookings
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Connection, create_pool
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold import closing
from workers.hold.read import Item, item_of
from workers.sweep.close_again import ClosingAgain


def closure(spec: ClinicSpec, from_hour: int, to_hour: int, name: str = "closure") -> Closure:
    now = datetime.now(UTC)
    return Closure(
        clinic_id=spec.clinic_id,
        closure_id=name,
        provider_ids=(spec.provider_id,),
        from_at=tomorrow(from_hour),
        to_at=tomorrow(to_hour),
        requested_at=now,
        accept_by=now + IN_TIME,
    )


async def happens(owner: Connection, clinic_id: str, booking_ref: str, *events: EventType) -> None:
    """To this booking, as its clinic answers."""
    async with owner.transaction():
        journal = await Journal.open(owner, [clinic_id])
        (booking,) = (await journal.load([(clinic_id, booking_ref)])).values()
        for event in events:
            reason = Reason.CLINIC_REFUSED if event is EventType.RESCHEDULE_FAILED else None
            journal.record(booking, event, reason=reason)
        await journal.write()


async def opened(database: Database, spec: ClinicSpec) -> None:
    """The clinic takes its closure back."""
    async with database.owner() as owner:
        await owner.execute("DELETE FROM availability_overrides WHERE provider_id = $1", spec.provider_id)
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")


async def blocked(
    database: Database, spec: ClinicSpec, from_hour: int, to_hour: int, override_id: str = "closure"
) -> None:
    await put_override(
        database,
        spec,
        Override(
            override_id=override_id,
            kind=OverrideKind.BLOCK,
            from_at=tomorrow(from_hour),
            to_at=tomorrow(to_hour),
            slot_minutes=None,
        ),
    )


def item(message: Closure, offset: int) -> list[Item]:
    made: ConsumerRecord = record(message, offset=offset)
    found = item_of(made)
    assert found is not None
    return [found]


async def test_who_is_booked_goes_to_the_next_slots_in_the_order_of_booking(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    later, sooner, outside = (
        book(clinic, "first to book", start_at=tomorrow(10)),
        book(clinic, "second to book", start_at=tomorrow(9)),
        book(clinic, "not then", start_at=tomorrow(12)),
    )
    await hold(appended(later, sooner, outside))
    await blocked(database, clinic, 9, 12)
    await hold(item(closure(clinic, 9, 12), 3))
    rows = {row["booking_ref"]: row for row in await rows_of(database, "SELECT * FROM appointments")}
    assert rows[later.booking_ref]["start_at"] == tomorrow(12, 30), "12:00 is taken"
    assert rows[sooner.booking_ref]["start_at"] == tomorrow(13)
    assert rows[outside.booking_ref]["revision"] == 1
    moved = "SELECT record ->> 'by' AS by FROM appointment_events WHERE event = 'booking.rescheduled'"
    assert [row["by"] for row in await rows_of(database, moved)] == ["clinic", "clinic"]
    await hold(item(closure(clinic, 9, 12), 4))
    again = {row["booking_ref"]: row for row in await rows_of(database, "SELECT * FROM appointments")}
    assert again == rows, "a closure that is read again finds nothing left"
    await check_counters(database)


async def test_who_is_moved_may_decline_the_new_time_or_choose_another_however_soon_it_is(
    database: Database, hold: Hold
) -> None:
    """As the message says that tells them of it: they were held to the notice for a time that they did not choose."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    async with database.owner() as owner:
        await owner.execute("UPDATE businesses SET cancel_notice_minutes = 3 * 24 * 60")
    long_ago = datetime.now(UTC) - timedelta(days=5)
    declines, chooses, stays = (
        book(clinic, f"{hour}", start_at=tomorrow(hour), accepted_at=long_ago) for hour in (10, 11, 15)
    )
    await hold(appended(declines, chooses, stays, cancel(stays)))
    await blocked(database, clinic, 9, 12)
    await hold(item(closure(clinic, 9, 12), 4))
    chosen = reschedule(chooses, "another", start_at=tomorrow(14))
    async with database.owner() as owner:
        told = await bookings.bookings(owner, [declines.booking_ref, stays.booking_ref])
    assert [each.is_moved_by_clinic for each in told] == [True, False]
    await hold(appended(cancel(declines), chosen, cancel(chooses), first_offset=5))
    rows = {row["booking_ref"]: row for row in await rows_of(database, "SELECT * FROM appointments")}
    assert rows[declines.booking_ref]["status"] == "cancelled"
    assert [(rows[each.booking_ref]["status"], rows[each.booking_ref]["start_at"]) for each in (chooses, stays)] == [
        ("confirmed", tomorrow(14)),
        ("confirmed", tomorrow(15)),
    ], "the times that they chose are theirs"
    await hold(appended(cancel(chooses), first_offset=8))
    (last,) = await rows_of(database, "SELECT event FROM appointment_events ORDER BY seq DESC LIMIT 1")
    assert last["event"] == "booking.cancel_refused"


async def test_who_is_booked_with_one_who_is_away_goes_to_a_colleague_who_is_there(
    database: Database, hold: Hold
) -> None:
    (clinic,) = clinics(1, providers=2)
    await seeded(database, [clinic])
    first, second, there = (
        book(clinic, "first", start_at=tomorrow(10)),
        book(clinic, "second", start_at=tomorrow(10, 30)),
        book(clinic, "there", start_at=tomorrow(10), provider_id="0001-2"),
    )
    await hold(appended(first, second, there))
    closed = closure(clinic, 9, 12)
    await hold(item(closed, 3))  # it has been taken back meanwhile: nobody is moved to where they are
    rows = await rows_of(database, "SELECT provider_id, start_at, revision FROM appointments ORDER BY ticket")
    assert [tuple(row) for row in rows] == [
        ("0001-2", tomorrow(10, 30), 2),
        ("0001-2", tomorrow(11), 2),
        ("0001-2", tomorrow(10), 1),
    ]
    await check_counters(database)


async def test_a_wish_that_was_refused_before_does_not_hold_up_a_closure(database: Database, hold: Hold) -> None:
    """Its revision is used up, though nothing came of it."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    command = book(clinic, "key", start_at=tomorrow(10))
    await hold(appended(command, reschedule(command, "no such time", start_at=tomorrow(10, 7))))
    await blocked(database, clinic, 9, 12)
    await hold(item(closure(clinic, 9, 12), 2))
    (row,) = await rows_of(database, "SELECT * FROM appointments")
    assert (row["start_at"], row["revision"]) == (tomorrow(12), 3)


async def test_who_came_back_when_it_was_open_again_is_moved_by_the_same_closure_again(
    database: Database, hold: Hold
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    command = book(clinic, "key", start_at=tomorrow(10))
    await hold(appended(command))
    await blocked(database, clinic, 9, 12)
    await hold(item(closure(clinic, 9, 12), 1))
    await opened(database, clinic)
    await hold(appended(reschedule(command, "back", start_at=tomorrow(11)), first_offset=2))
    assert [row["start_at"] for row in await rows_of(database, "SELECT * FROM appointments")] == [tomorrow(11)]
    await blocked(database, clinic, 9, 12)
    await hold(item(closure(clinic, 9, 12), 3))
    assert [row["start_at"] for row in await rows_of(database, "SELECT * FROM appointments")] == [tomorrow(12)]
    await check_counters(database)


@pytest.mark.parametrize("why", ["the command was lost", "a wish of their own came to nothing"])
async def test_who_is_booked_then_all_the_same_is_moved_when_sweep_finds_them(
    why: str, database: Database, hold: Hold, fresh_kafka: Kafka
) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key", start_at=tomorrow(10))
    await hold(appended(command))
    async with database.owner() as owner:
        await happens(owner, command.clinic_id, command.booking_ref, EventType.CALLING, EventType.CONFIRMED)
        if why != "the command was lost":
            await hold(appended(reschedule(command, "wish", start_at=tomorrow(15)), first_offset=1))
        await blocked(database, clinic, 9, 12, "closure-7")
        await owner.execute(
            "INSERT INTO clinic_closures (clinic_id, closure_id, sequence, at, payload) "
            "VALUES ($1, '7', 1, now() - interval '5 min', '{}')",
            clinic.clinic_id,
        )
        if why != "the command was lost":
            await hold(item(closure(clinic, 9, 12, "7"), 2))
            await happens(owner, command.clinic_id, command.booking_ref, EventType.RESCHEDULE_FAILED)
    settings = settings_for(database, fresh_kafka, "sweep")
    producer, pool = Producer(settings), await create_pool(settings, "sweep")
    await producer.start()
    assert await ClosingAgain(pool, producer).look() == 1
    assert await ClosingAgain(pool, producer).look() == 0, "it was asked for just now"
    await producer.stop()
    await pool.close()
    (asked,) = await everything_in(fresh_kafka, BOOKING_REQUESTS)
    found = item_of(asked)
    assert found is not None
    await hold([found])
    (row,) = await rows_of(database, "SELECT moving_to, start_at FROM appointments")
    (wished,) = await rows_of(database, "SELECT start_at, must_move FROM reschedules WHERE ended_at IS NULL")
    assert (row["moving_to"] is not None, row["start_at"]) == (True, tomorrow(10))
    assert (wished["start_at"], wished["must_move"]) == (tomorrow(12), True)
    await check_counters(database)


async def test_where_nothing_fits_it_is_cancelled_by_the_clinic(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    command = book(clinic, "key", start_at=tomorrow(10))
    await hold(appended(command))
    forever = Override(
        override_id="closure",
        kind=OverrideKind.BLOCK,
        from_at=tomorrow(9),
        to_at=tomorrow(9) + timedelta(days=100),
        slot_minutes=None,
    )
    await put_override(database, clinic, forever)
    await hold(item(closure(clinic, 9, 12), 1))
    (row,) = await rows_of(database, "SELECT * FROM appointments")
    assert (row["status"], row["by"], row["reason"]) == ("cancelled", "clinic", "prov")
    assert not await rows_of(database, "SELECT * FROM seat_claims")


async def test_a_large_closure_goes_on_where_it_stopped(
    database: Database, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "ROUND_MAX", 2)
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    wanted = [tomorrow(9), tomorrow(9, 30), tomorrow(10)]
    await hold(appended(*(book(clinic, str(number), start_at=at) for number, at in enumerate(wanted))))
    await blocked(database, clinic, 9, 12)
    outcome = await hold(item(closure(clinic, 9, 12), 3))
    assert len(outcome.due) == 2
    (rest,) = outcome.forwarded
    assert isinstance(rest, Closure)
    last = await hold(item(rest, 4))
    assert (len(last.due), last.forwarded) == (1, [])
    starts = await rows_of(database, "SELECT start_at FROM appointments ORDER BY start_at")
    assert [row["start_at"] for row in starts] == [tomorrow(12), tomorrow(12, 30), tomorrow(13)]


async def closed(database: Database, site: Site) -> None:
    """The first six hours of the day after tomorrow's midnight, in which the site's bookings are."""
    await blocked(database, site.spec, 0, 6)
    pool = await create_pool(settings_for(database, None, "hold"), "hold")
    try:
        outcome = await Hold(pool)(item(closure(site.spec, 0, 6), 900))
    finally:
        await pool.close()
    await site.ring(*outcome.due)


async def test_its_clinic_is_asked_to_move_what_it_has(database: Database, fresh_kafka: Kafka) -> None:
    async with sites(database, fresh_kafka) as [site], confirming(site):
        bookings = await site.hold(3)
        await site.until_state("confirmed", "booked", *bookings)
        await closed(database, site)

        async def all_moved() -> bool:
            rows = [await site.row(booking) for booking in bookings]
            return all(row["revision"] == 2 and row["clinic_state"] == "booked" for row in rows)

        await until(all_moved)
        there = [each for each in site.clinic.books.records() if each.effective_bookings]
        assert sorted(each.start_at for each in there) == [tomorrow(6), tomorrow(6, 30), tomorrow(7)]


async def test_what_its_clinic_will_not_move_is_cancelled_and_withdrawn(database: Database, fresh_kafka: Kafka) -> None:
    async with sites(database, fresh_kafka) as [site], confirming(site):
        (booking,) = await site.hold()
        await site.until_state("confirmed", "booked", booking)
        site.change(refuse_rate=1.0)
        await closed(database, site)
        await site.until_state("cancelled", "none", booking)
        row = await site.row(booking)
        assert (row["by"], row["reason"], row["claims"]) == ("clinic", "prov", 0)
        assert not [each for each in site.clinic.books.records() if each.effective_bookings]
