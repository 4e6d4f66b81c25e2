"""What time and clinics do to those who wait: offers end, wishes pass, hours change, and nobody loses their place."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.integration.test_closures import blocked, closure
from tests.integration.test_closures import item as closing
from tests.support.calendars import put_busy
from tests.support.commands import appended, book, cancel
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, rows_of, seeded
from tests.support.waiting import Answers, claims, offered_to, open_offers, run_out, stands, wait
from tests.support.world import ALWAYS_OPEN, clinics, tomorrow
from waiting_room.domain.availability.wall import instant
from waiting_room.domain.waitlist import Ended
from waiting_room.messages import Patient, TimeRange
from waiting_room.store import bookings, offering
from waiting_room.store.giving import LOOKED_AT_MAX
from waiting_room.store.lines import waiting
from waiting_room.store.pool import Pool
from workers.sweep.waitlist import Looking, end_waits, lapse

WAITING, OFFERED = ("waitlisted", "waiting"), ("waitlisted", "offered")
AUCKLAND = ZoneInfo("Pacific/Auckland")


async def test_an_offer_ends_by_the_databases_clock_and_not_when_sweep_comes(
    database: Database, hold: Hold, answers: Answers, sweeping: Pool
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, first, second, third = book(clinic, "booked"), wait(clinic, "1"), wait(clinic, "2"), wait(clinic, "3")
    await hold(appended(booked, first, second, third, cancel(booked)))
    (offer,) = await open_offers(database)
    assert await lapse(sweeping) == 0
    await run_out(database, offer.offer_id)
    assert await answers.accept(offer.offer_id) is Ended.EXPIRED
    (offer,) = await open_offers(database)
    assert offer.booking_ref == second.booking_ref, "in the transaction that told the first that it was too late"
    await run_out(database, offer.offer_id)
    assert await lapse(sweeping) == 1
    assert await offered_to(database) == [third.booking_ref]
    assert await answers.accept(offer.offer_id) is Ended.EXPIRED
    assert list((await stands(database)).values()) == [("cancelled", None), WAITING, WAITING, OFFERED]
    await check_counters(database)


async def test_a_row_that_fails_is_left_out_and_keeps_nobody_else_waiting(
    database: Database, hold: Hold, sweeping: Pool
) -> None:
    """Sweep died of it, again and again, and with it all that rings and frees."""
    first, second = clinics(2)
    await seeded(database, [first, second])
    spoilt, elsewhere = wait(first, "spoilt"), wait(second, "elsewhere")
    beside = wait(first, "beside", start_at=tomorrow(11))
    booked = [book(first, "1"), book(first, "2", start_at=tomorrow(11)), book(second, "3")]
    await hold(appended(*booked, spoilt, beside, elsewhere, *map(cancel, booked)))
    for offer in await open_offers(database):
        await run_out(database, offer.offer_id)
    async with database.owner() as owner:
        await owner.execute("UPDATE appointments SET stage = 'waiting' WHERE booking_ref = $1", spoilt.booking_ref)
    assert await lapse(sweeping) == 2
    (left,) = await open_offers(database)
    assert left.booking_ref == spoilt.booking_ref


async def test_what_comes_free_without_being_given_up_is_found(database: Database, hold: Hold, sweeping: Pool) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, first, second = book(clinic, "booked"), wait(clinic, "1"), wait(clinic, "2")
    await hold(appended(booked, first, second))
    async with database.owner() as owner:
        await owner.execute("UPDATE providers SET capacity = 2")
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")
    looking = Looking(sweeping)
    await looking.look()
    assert await offered_to(database) == [first.booking_ref]
    assert await claims(database) == [(booked.booking_ref, tomorrow(), 0), (first.booking_ref, tomorrow(), 1)]


@pytest.mark.parametrize(("before", "at_once"), [(101, LOOKED_AT_MAX), (5, 2)])
async def test_nobody_waits_too_far_behind_to_be_looked_for(
    before: int, at_once: int, database: Database, hold: Hold, sweeping: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind however many for whom nothing is free: a newcomer would have got the seat."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    monkeypatch.setattr(offering, "LOOKED_AT_MAX", at_once)
    others = [wait(clinic, f"other {number}") for number in range(before)]
    last = wait(clinic, "last", start_at=tomorrow(11))
    await hold(appended(book(clinic, "1"), book(clinic, "2", start_at=tomorrow(11)), *others, last))
    async with database.owner() as owner:
        await owner.execute("UPDATE providers SET capacity = 2")
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")
    await Looking(sweeping).look()
    assert sorted(await offered_to(database)) == sorted([others[0].booking_ref, last.booking_ref])
    await check_counters(database)


async def test_who_waits_for_what_has_passed_is_told(database: Database, hold: Hold, sweeping: Pool) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    first = wait(clinic, "1")
    await hold(appended(book(clinic, "booked"), first))
    assert await end_waits(sweeping) == 0
    async with database.owner() as owner:
        await owner.execute("UPDATE waitlist SET from_at = now() - interval '2 h', to_at = now() - interval '1 h'")
    assert await end_waits(sweeping) == 1
    (row,) = await rows_of(database, "SELECT reason FROM appointments WHERE status = 'rejected'")
    assert row["reason"] == "no_free_slot"
    await check_counters(database)


async def test_who_was_offered_a_time_that_the_clinic_closes_waits_on(
    database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, first, later = book(clinic, "booked"), wait(clinic, "1"), book(clinic, "later", start_at=tomorrow(11))
    other = wait(clinic, "2", start_at=tomorrow(11))
    await hold(appended(booked, first, later, other, cancel(booked), cancel(later)))
    offers = {each.booking_ref: each.offer_id for each in await open_offers(database)}
    await blocked(database, clinic, 9, 10)
    await hold(closing(closure(clinic, 9, 10), 6))
    assert await offered_to(database) == [other.booking_ref]
    assert await answers.accept(offers[first.booking_ref]) is Ended.LOST
    assert [ref for ref, *_ in await claims(database)] == [other.booking_ref]
    await blocked(database, clinic, 11, 12)  # nobody has told hold yet
    assert await answers.accept(offers[other.booking_ref]) is Ended.LOST, "its clinic does not work then"
    assert await claims(database) == []
    await check_counters(database)


async def test_an_offer_that_was_accepted_inside_the_notice_may_be_taken_back_for_an_hour(
    database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    async with database.owner() as owner:
        await owner.execute("UPDATE businesses SET cancel_notice_minutes = 5 * 24 * 60")
    booked, first = book(clinic, "booked"), wait(clinic, "1", accepted_at=tomorrow() - timedelta(days=30))
    await hold(appended(booked, first, cancel(booked)))
    (offer,) = await open_offers(database)
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    an_hour_later = datetime.now(UTC) + timedelta(minutes=61)
    await hold(appended(cancel(first, requested_at=an_hour_later), first_offset=3))
    assert (await stands(database))[first.booking_ref] == ("confirmed", None)
    await hold(appended(cancel(first), first_offset=4))
    assert (await stands(database))[first.booking_ref] == ("cancelled", None)


async def test_a_time_that_the_clinic_has_given_away_by_phone_is_not_to_be_had_any_more(
    database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, first = book(clinic, "booked"), wait(clinic, "1")
    await hold(appended(booked, first, cancel(booked)))
    (offer,) = await open_offers(database)
    await put_busy(database, clinic, 9)
    assert await answers.accept(offer.offer_id) is Ended.LOST
    assert (await stands(database))[first.booking_ref] == WAITING
    assert await claims(database) == []


@pytest.mark.parametrize("phoned", [1, 2])
async def test_a_booking_by_phone_takes_one_seat_of_several(
    phoned: int, database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1, capacity=3)
    await seeded(database, [clinic])
    booked, beside, third, first = *(book(clinic, each) for each in "abc"), wait(clinic, "1")
    await hold(appended(booked, beside, third, first, cancel(booked), cancel(third)))
    (offer,) = await open_offers(database)
    await put_busy(database, clinic, 9, seats=phoned)
    assert await answers.accept(offer.offer_id) is (Ended.ACCEPTED if phoned == 1 else Ended.LOST)
    await check_counters(database)


async def test_what_a_provider_does_not_do_any_more_is_not_to_be_had(
    database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, first = book(clinic, "booked"), wait(clinic, "1")
    await hold(appended(booked, first, cancel(booked)))
    (offer,) = await open_offers(database)
    async with database.owner() as owner:
        await owner.execute("UPDATE providers SET service_types = '{}'")
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")
    assert await answers.accept(offer.offer_id) is Ended.LOST
    assert (await stands(database))[first.booking_ref] == WAITING


@pytest.mark.parametrize("ends", ["declined", "expired", "lost"])
async def test_a_time_that_was_offered_and_not_taken_keeps_no_other_booking_away(
    ends: str, database: Database, hold: Hold, answers: Answers, sweeping: Pool
) -> None:
    """Who waited on was taken to have an appointment on the day that they were offered last."""
    clinic, elsewhere = clinics(2)
    await seeded(database, [clinic, elsewhere])
    async with database.owner() as owner:
        once_a_day = json.dumps([{**hours, "opens": "09:00:00", "closes": "09:30:00"} for hours in ALWAYS_OPEN])
        await owner.execute("UPDATE providers SET hours = $1", once_a_day)
        await owner.execute("UPDATE clinics SET timezone = $1", AUCKLAND.key)
        await owner.execute("UPDATE service_types SET interval_days = 3, offer_to_all = $1", ends == "lost")
    days = [tomorrow().date() + timedelta(days=day) for day in range(1, 7)]
    nine = [instant(day, 9 * 60, AUCKLAND) for day in days]
    booked = [book(clinic, f"{start_at}", start_at=start_at) for start_at in nine]
    faster = wait(clinic, "faster", start_at=nine[-1])
    anna = Patient(id="anna")
    waits = wait(
        clinic, "anna waits", patient=anna, start_at=None, range=TimeRange(nine[0], nine[-1] + timedelta(hours=1))
    )
    await hold(appended(*booked, faster, waits, cancel(booked[-1])))
    if ends != "lost":
        (offer,) = await open_offers(database)
        await answers.decline(offer.offer_id)
    offers = {each.booking_ref: each.offer_id for each in await open_offers(database)}
    if ends == "declined":
        assert await answers.decline(offers[waits.booking_ref]) is Ended.DECLINED
    elif ends == "expired":
        await run_out(database, offers[waits.booking_ref])
        assert await lapse(sweeping) == 1
    else:
        assert await answers.accept(offers[faster.booking_ref]) is Ended.ACCEPTED
    assert (await stands(database))[waits.booking_ref] == WAITING
    another = book(elsewhere, "anna books", patient=anna, start_at=nine[-2])
    await hold(appended(another, first_offset=9))
    assert (await stands(database))[another.booking_ref] == ("confirmed", None)
    (claim,) = await rows_of(database, f"SELECT day FROM patient_claims WHERE booking_ref = '{waits.booking_ref}'")
    assert claim["day"] == days[0], "the first that will do, by the clinic's clock"


async def test_who_accepts_a_seat_waits_to_be_decided_since_then(
    database: Database, hold: Hold, answers: Answers, sweeping: Pool
) -> None:
    """However long a seat was waited for: whoever watches the lines was told of days that nobody waited."""
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    booked, first = book(clinic, "booked"), wait(clinic, "1", accepted_at=datetime.now(UTC) - timedelta(days=10))
    await hold(appended(booked, first, cancel(booked)))
    (offer,) = await open_offers(database)
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    async with sweeping.acquire() as conn:
        (line,) = await waiting(conn)
    assert (line.line, line.oldest_seconds < 600) == (1, True)
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    await hold(appended(book(clinic, "2", start_at=tomorrow(11), accepted_at=an_hour_ago), first_offset=3))
    async with sweeping.acquire() as conn:
        (line,) = await waiting(conn)
    assert (line.line, 3_600 <= line.oldest_seconds < 4_200) == (2, True), "who asked later, and has waited longer"


async def test_a_seat_that_was_accepted_too_late_to_cancel_may_be_given_back_for_an_hour(
    database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    async with database.owner() as owner:
        await owner.execute("UPDATE businesses SET cancel_notice_minutes = 2 * 24 * 60")
    booked, first = book(clinic, "booked"), wait(clinic, "1", accepted_at=datetime.now(UTC) - timedelta(days=5))
    await hold(appended(booked, first, cancel(booked)))
    (offer,) = await open_offers(database)
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    async with database.owner() as owner:
        row = await bookings.booking(owner, first.booking_ref)
        assert row is not None
        assert row.asked_at == await owner.fetchval(
            "SELECT offer_accepted_at FROM appointments WHERE status = 'confirmed'"
        )
    await hold(appended(cancel(first), first_offset=3))
    assert (await stands(database))[first.booking_ref] == ("cancelled", None)
