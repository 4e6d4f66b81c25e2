"""Who waits for a seat gets the first that comes free and fits, in the transaction that frees it, whoever does."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.support.commands import appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, rows_of, seeded
from tests.support.stocked import FLU, lot, reserved, stocked
from tests.support.waiting import Answers, claims, offered_to, open_offers, stands, wait
from tests.support.world import clinics, settings_for, tomorrow
from waiting_room.domain.appointment import EventType, Reason
from waiting_room.domain.waitlist import Ended
from waiting_room.messages import Book, Patient, TimeRange
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Pool, create_pool
from workers.sweep.absent import miss
from workers.sweep.expire import expire

WAITING, OFFERED = ("waitlisted", "waiting"), ("waitlisted", "offered")
CONFIRMED = ("confirmed", None)
MORNING = TimeRange(tomorrow(9), tomorrow(12))


async def happen(database: Database, role: str, command: Book, *events: EventType) -> None:
    """By that role's login, as its worker writes it."""
    pool = await create_pool(settings_for(database, None, role), role)
    async with pool.acquire() as conn, conn.transaction():
        journal = await Journal.open(conn, [command.clinic_id])
        (booking,) = (await journal.load([(command.clinic_id, command.booking_ref)])).values()
        for event in events:
            journal.record(booking, event, reason=Reason.CLINIC_REFUSED if event is EventType.REJECTED else None)
        await journal.write()
    await pool.close()


async def test_who_finds_nothing_free_waits_and_who_finds_something_is_booked(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    first, second, third = wait(clinic, "1"), wait(clinic, "2"), wait(clinic, "3")
    await hold(appended(first, second, third, second))
    assert list((await stands(database)).values()) == [CONFIRMED, WAITING, WAITING]
    assert await claims(database) == [(first.booking_ref, tomorrow(), 0)]
    (counters,) = await rows_of(database, "SELECT waiting, line FROM clinic_counters")
    assert tuple(counters) == (2, 0)
    wishes = await rows_of(database, "SELECT provider_id, from_at FROM waitlist")
    assert [tuple(row) for row in wishes] == [(clinic.provider_id, tomorrow())] * 2
    await check_counters(database)


async def test_what_cannot_be_had_at_all_is_not_waited_for(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    await hold(appended(wait(clinic, "odd", start_at=tomorrow(9, 7)), wait(clinic, "what", service_type="surgery")))
    rows = await rows_of(database, "SELECT reason FROM appointments ORDER BY reason")
    assert [row["reason"] for row in rows] == ["not_bookable", "outside_hours"]


async def test_a_cancel_offers_the_seat_to_the_first_in_its_own_transaction(
    database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, first, second = book(clinic, "booked"), wait(clinic, "1"), wait(clinic, "2", start_at=None, range=MORNING)
    fills = [book(clinic, f"fill {hour}", start_at=tomorrow(9) + timedelta(minutes=30 * hour)) for hour in range(1, 6)]
    await hold(appended(booked, *fills, first, second))
    await hold(appended(cancel(booked), book(clinic, "newcomer"), first_offset=8))
    stand = await stands(database)
    assert [stand[each.booking_ref] for each in (first, second)] == [OFFERED, WAITING]
    (offer,) = await open_offers(database)
    assert (offer.booking_ref, offer.start_at, offer.to_all) == (first.booking_ref, tomorrow(), False)
    assert (first.booking_ref, tomorrow(), 0) in await claims(database)
    (refused,) = await rows_of(database, "SELECT reason FROM appointments WHERE status = 'rejected'")
    assert refused["reason"] == "slot_taken", "who comes later does not overtake who waits"
    told = await rows_of(
        database,
        "SELECT record -> 'offer' ->> 'offer_id' AS id FROM appointment_events WHERE event = 'waitlist.offered'",
    )
    assert [row["id"] for row in told] == [offer.offer_id]
    # Who declines goes on waiting, and the next one has it; who accepts is confirmed, the platform keeps the calendar.
    assert await answers.decline(offer.offer_id) is Ended.DECLINED
    (offer,) = await open_offers(database)
    assert offer.booking_ref == second.booking_ref
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED, "said twice"
    assert await answers.decline(offer.offer_id) is Ended.ACCEPTED
    stand = await stands(database)
    assert [stand[each.booking_ref] for each in (first, second)] == [WAITING, CONFIRMED]
    assert (second.booking_ref, tomorrow(), 0) in await claims(database)
    await check_counters(database)


async def test_a_time_that_was_declined_is_not_offered_again_and_is_free_for_others(
    database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, first = book(clinic, "booked"), wait(clinic, "1")
    await hold(appended(booked, first, cancel(booked)))
    (offer,) = await open_offers(database)
    await answers.decline(offer.offer_id)
    assert await claims(database) == []
    newcomer = book(clinic, "newcomer")
    await hold(appended(newcomer, cancel(newcomer), first_offset=3))
    assert await offered_to(database) == []
    assert (await stands(database))[first.booking_ref] == WAITING


async def test_every_way_in_which_a_seat_comes_free(database: Database, hold: Hold, sweeping: Pool) -> None:
    builtin, rest = clinics(1)[0], clinics(2, endpoint=REST)[1]
    await seeded(database, [builtin, rest])
    moved, absent = book(builtin, "moved"), book(builtin, "absent", start_at=tomorrow(11))
    gone, rejected = book(rest, "gone"), book(rest, "rejected", start_at=tomorrow(10))
    dead = book(rest, "dead", start_at=tomorrow(11))
    waits = {
        "moved": wait(builtin, "for moved"),
        "absent": wait(builtin, "for absent", start_at=tomorrow(11)),
        "gone": wait(rest, "for gone"),
        "rejected": wait(rest, "for rejected", start_at=tomorrow(10)),
        "dead": wait(rest, "for dead", start_at=tomorrow(11)),
    }
    await hold(appended(moved, absent, gone, rejected, dead, *waits.values()))
    await hold(appended(reschedule(moved, "away", start_at=tomorrow(15)), first_offset=10))
    assert await offered_to(database) == [waits["moved"].booking_ref]

    await happen(database, "confirm", gone, EventType.CALLING, EventType.CONFIRMED)
    await hold(appended(cancel(gone), first_offset=11))
    assert waits["gone"].booking_ref not in await offered_to(database), "its clinic has not let go of it yet"
    await happen(database, "confirm", gone, EventType.WITHDRAWN)
    assert waits["gone"].booking_ref in await offered_to(database)
    await happen(database, "confirm", rejected, EventType.CALLING, EventType.NOT_BOOKED, EventType.REJECTED)
    assert waits["rejected"].booking_ref in await offered_to(database)

    async with database.owner() as owner:
        await owner.execute(
            "UPDATE appointments SET hold_until = now() - interval '1 s' WHERE booking_ref = $1", dead.booking_ref
        )
        await owner.execute("UPDATE clinics SET no_show_after_minutes = 0")
        await owner.execute(
            "UPDATE appointments SET start_at = now() - interval '1 m' WHERE booking_ref = $1", absent.booking_ref
        )
    assert await expire(sweeping) == 1
    assert waits["dead"].booking_ref in await offered_to(database)
    assert await miss(sweeping) == 1
    assert waits["absent"].booking_ref in await offered_to(database)
    await check_counters(database)


async def test_doses_are_offered_with_the_seat(database: Database, hold: Hold, answers: Answers) -> None:
    (clinic,) = clinics(1, capacity=3)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 1))
    booked, first, second = book(clinic, "booked"), wait(clinic, "1"), wait(clinic, "2")
    await hold(appended(booked, first, second))
    assert [row["status"] for row in await rows_of(database, "SELECT status FROM appointments ORDER BY ticket")] == [
        "confirmed",
        "waitlisted",
        "waitlisted",
    ], "seats there are, doses not"
    await hold(appended(cancel(booked), book(clinic, "newcomer"), first_offset=3))
    assert await reserved(database) == {"a": 1}
    (offer,) = await open_offers(database)
    await answers.decline(offer.offer_id)
    assert await reserved(database) == {"a": 1}
    (offer,) = await open_offers(database)
    assert offer.booking_ref == second.booking_ref
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    owned = await rows_of(database, "SELECT booking_ref FROM dose_claims")
    assert [row["booking_ref"] for row in owned] == [second.booking_ref]
    rows = await rows_of(database, "SELECT doses FROM appointments WHERE ticket IS NOT NULL ORDER BY ticket")
    assert [row["doses"] for row in rows] == [1, 0, 1]


@pytest.mark.parametrize("takes", [0, 2])
async def test_what_its_service_takes_by_now_is_what_is_claimed_when_it_is_accepted(
    takes: int, database: Database, hold: Hold, answers: Answers
) -> None:
    """Else what nobody was given would be counted as administered."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 5))
    booked, first = book(clinic, "booked"), wait(clinic, "1")
    await hold(appended(booked, first, cancel(booked)))
    (offer,) = await open_offers(database)
    consumes = json.dumps([{"product": FLU, "doses": takes}] if takes else [])
    async with database.owner() as owner:
        await owner.execute("UPDATE service_types SET consumes = $1", consumes)
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")
    assert await reserved(database) == {"a": 1}
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    assert await reserved(database) == {"a": takes}
    (row,) = await rows_of(database, "SELECT doses FROM appointments WHERE status = 'confirmed'")
    assert row["doses"] == takes


async def test_an_external_clinic_is_asked_once_an_offer_is_accepted(
    database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    booked, first = book(clinic, "booked"), wait(clinic, "1")
    await hold(appended(booked, first, cancel(booked)))
    (offer,) = await open_offers(database)
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    (row,) = await rows_of(database, "SELECT * FROM appointments WHERE status = 'pending'")
    assert row["booking_ref"] == first.booking_ref
    assert (row["stage"], row["clinic_state"], row["revision"]) == ("held", "none", 2)
    assert row["decided_at"] is None
    assert row["held_at"] < row["hold_until"] <= row["decide_by"] <= row["start_at"] == tomorrow()
    (counters,) = await rows_of(database, "SELECT line, waiting FROM clinic_counters")
    assert tuple(counters) == (1, 0)
    await happen(database, "confirm", first, EventType.CALLING, EventType.CONFIRMED)
    assert (await stands(database))[first.booking_ref] == CONFIRMED
    await check_counters(database)


async def test_who_leaves_has_no_seat_any_more_and_a_booking_is_not_left(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, first, second = wait(clinic, "booked"), wait(clinic, "1"), wait(clinic, "2")
    await hold(appended(booked, first, second, cancel(booked, only_waiting=True)))
    assert (await stands(database))[booked.booking_ref] == CONFIRMED
    await hold(appended(cancel(booked), cancel(first, only_waiting=True), first_offset=4))
    assert await offered_to(database) == [second.booking_ref]
    assert (await stands(database))[first.booking_ref] == ("cancelled", None)
    assert not await rows_of(database, f"SELECT FROM patient_claims WHERE booking_ref = '{first.booking_ref}'")
    await hold(appended(cancel(second), first_offset=6))
    assert await claims(database) == []
    ended = await rows_of(database, "SELECT outcome FROM offers")
    assert [row["outcome"] for row in ended] == ["withdrawn"]
    await check_counters(database)


async def test_who_waits_has_one_pending_booking_less(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    patient = Patient(id="one patient")
    await hold(appended(book(clinic, "booked"), *(wait(clinic, f"{n}", patient=patient) for n in range(6))))
    rows = await rows_of(database, "SELECT reason FROM appointments WHERE status = 'rejected'")
    assert [row["reason"] for row in rows] == ["too_many_pending"]


async def test_who_was_asked_is_not_passed_over_meanwhile(database: Database, hold: Hold, answers: Answers) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    nine, ten = book(clinic, "nine"), book(clinic, "ten", start_at=tomorrow(9, 30))
    first = wait(clinic, "1", start_at=None, range=TimeRange(tomorrow(9), tomorrow(10)))
    await hold(appended(nine, ten, first, cancel(nine)))
    await hold(appended(cancel(ten), first_offset=4))
    (offer,) = await open_offers(database)
    assert offer.start_at == tomorrow()
    await answers.decline(offer.offer_id)
    (offer,) = await open_offers(database)
    assert (offer.booking_ref, offer.start_at) == (first.booking_ref, tomorrow(9, 30))
