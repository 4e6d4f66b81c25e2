"""Where two capabilities meet in one booking: who waits and must be verified; closures and shortages meanwhile."""

from __future__ import annotations

import pytest

from tests.integration.test_closures import blocked, closure
from tests.integration.test_closures import item as closing
from tests.integration.test_shortage import shortage
from tests.support.commands import appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, rows_of, seeded
from tests.support.stocked import counted, lot, reserved, stocked
from tests.support.waiting import Answers, claims, offered_to, open_offers, stands, wait
from tests.support.world import clinics, settings_for, tomorrow
from waiting_room.domain.eligibility import Finding
from waiting_room.domain.waitlist import Ended
from waiting_room.messages import Book
from waiting_room.store import calls, verifications
from waiting_room.store.pool import Pool, create_pool
from waiting_room.store.verifications import Found
from workers.sweep.waitlist import Looking

VERIFYING, HELD = ("pending", "verifying"), ("pending", "held")
WAITING, OFFERED = ("waitlisted", "waiting"), ("waitlisted", "offered")


async def asks(database: Database) -> None:
    """From now on the service asks whether a patient may have it."""
    async with database.owner() as owner:
        await owner.execute("UPDATE service_types SET eligibility = 'fail_closed'")
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")


async def found(database: Database, command: Book, finding: Finding) -> None:
    """Confirm's login stores what was found out."""
    pool = await create_pool(settings_for(database, None, "confirm"), "confirm")
    async with pool.acquire() as conn, conn.transaction():
        systems = await calls.load_systems(conn, [command.clinic_id])
        await verifications.record(conn, [Found((command.clinic_id, command.booking_ref), finding, 9.0)], systems)
    await pool.close()


async def test_who_took_a_seat_and_may_not_have_it_leaves_it_to_the_next(
    database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    await asks(database)
    booked, first, second = book(clinic, "booked"), wait(clinic, "1"), wait(clinic, "2")
    await hold(appended(booked, first, second, cancel(booked)))
    (offer,) = await open_offers(database)
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    assert (await stands(database))[first.booking_ref] == VERIFYING
    await found(database, first, Finding.NOT_ELIGIBLE)
    assert (await stands(database))[first.booking_ref] == ("rejected", None)
    assert await offered_to(database) == [second.booking_ref]
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED, "as it was answered before"
    await check_counters(database)


async def test_what_is_being_verified_is_moved_by_a_closure_and_goes_on(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    await asks(database)
    command, waits = book(clinic, "key"), wait(clinic, "waits")
    await hold(appended(command, waits))
    await blocked(database, clinic, 9, 12)
    await hold(closing(closure(clinic, 9, 12), 2))
    assert list((await stands(database)).values()) == [VERIFYING, WAITING]
    assert await claims(database) == [(command.booking_ref, tomorrow(12), 0)]
    await found(database, command, Finding.ELIGIBLE)
    assert (await stands(database))[command.booking_ref] == HELD
    await check_counters(database)


async def test_who_waits_moves_nothing_until_there_is_a_seat(database: Database, hold: Hold, answers: Answers) -> None:
    """The revisions of offers and of wishes are counted in one row."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, waits = book(clinic, "booked"), wait(clinic, "waits")
    early = [reschedule(waits, f"early {number}", start_at=tomorrow(15)) for number in range(3)]
    await hold(appended(booked, waits, *early))
    await hold(appended(cancel(booked), reschedule(waits, "offered", start_at=tomorrow(15)), first_offset=5))
    (offer,) = await open_offers(database)
    assert await answers.accept(offer.offer_id) is Ended.ACCEPTED
    await hold(appended(reschedule(waits, "late", start_at=tomorrow(15)), first_offset=7))
    assert await claims(database) == [(waits.booking_ref, tomorrow(15), 0)]
    wishes = await rows_of(database, "SELECT outcome FROM reschedules ORDER BY revision")
    assert [row["outcome"] for row in wishes] == ["refused"] * 4 + ["rescheduled"]
    await check_counters(database)


@pytest.mark.parametrize("left", [1, 0])
async def test_an_offer_whose_dose_is_recounted_away_is_lost_and_nothing_else(
    left: int, database: Database, hold: Hold, answers: Answers
) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 2))
    booked, other, waits = book(clinic, "booked"), book(clinic, "other", start_at=tomorrow(11)), wait(clinic, "waits")
    await hold(appended(booked, other, waits, cancel(booked)))
    (offer,) = await open_offers(database)
    async with database.owner() as owner:
        short = await counted(owner, clinic, lot("a", left))
    assert short == ([] if left else [other.booking_ref]), "who only waits is the first to lose it, and is not short"
    await hold(shortage(clinic, 4))
    assert (await stands(database))[waits.booking_ref] == OFFERED
    assert await answers.accept(offer.offer_id) is Ended.LOST
    assert (await stands(database))[waits.booking_ref] == WAITING
    assert [ref for ref, *_ in await claims(database)] == [other.booking_ref]
    assert await reserved(database) == {"a": left}
    assert [row["booking_ref"] for row in await rows_of(database, "SELECT booking_ref FROM dose_shortages")] == (
        [] if left else [other.booking_ref]
    )
    await check_counters(database)


async def test_a_clinic_that_takes_no_bookings_offers_nothing(
    database: Database, hold: Hold, answers: Answers, sweeping: Pool
) -> None:
    """Or who took it would lose it, and be offered it again, as often as they liked."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, other = book(clinic, "booked"), book(clinic, "other", start_at=tomorrow(11))
    asked, waits = wait(clinic, "asked"), wait(clinic, "waits", start_at=tomorrow(11))
    await hold(appended(booked, other, asked, waits, cancel(booked)))
    (offer,) = await open_offers(database)
    async with database.owner() as owner:
        await owner.execute("UPDATE clinics SET status = 'closed'")
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")
    await hold(appended(cancel(other), first_offset=5))
    assert await answers.accept(offer.offer_id) is Ended.LOST
    await Looking(sweeping).look()
    assert await offered_to(database) == []
    assert await claims(database) == []
    await check_counters(database)
