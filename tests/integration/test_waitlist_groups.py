"""A seat that is told to all who wait for one like it: the first to accept has it, and it is held until one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from tests.support.commands import appended, book, cancel
from tests.support.database import Database
from tests.support.holding import Hold, check_counters, rows_of, seeded
from tests.support.stocked import lot, reserved, stocked
from tests.support.waiting import Answers, claims, offered_to, open_offers, run_out, stands, wait
from tests.support.world import ClinicSpec, clinics, settings_for, tomorrow
from waiting_room.domain.waitlist import Ended
from waiting_room.ics import write_feed
from waiting_room.messages import Book, TimeRange
from waiting_room.store import calendars
from waiting_room.store.faults import is_contention
from waiting_room.store.pool import Pool, create_pool
from workers.sweep.waitlist import lapse
from workers.work_off import work_off

WAITING, OFFERED, INVITED = ("waitlisted", "waiting"), ("waitlisted", "offered"), ("waitlisted", "invited")
CONFIRMED = ("confirmed", None)


async def answers(database: Database) -> AsyncIterator[Answers]:
    pool = await create_pool(settings_for(database, None, "ingress"), "ingress")
    yield Answers(pool)
    await pool.close()


async def sweeping(database: Database) -> AsyncIterator[Pool]:
    pool = await create_pool(settings_for(database, None, "sweep"), "sweep")
    yield pool
    await pool.close()


async def group(database: Database, hold: Hold, *, doses: int = 0) -> tuple[ClinicSpec, Book, list[Book]]:
    """A booking and three who wait for its time, at a clinic that tells all of them."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    if doses:
        await stocked(database, clinic, lot("a", doses))
    async with database.owner() as owner:
        await owner.execute("UPDATE service_types SET offer_to_all = TRUE")
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")
    booked, waiters = book(clinic, "booked"), [wait(clinic, str(number)) for number in range(3)]
    await hold(appended(booked, *waiters))
    return clinic, booked, waiters


async def test_all_are_told_and_the_first_to_accept_has_it(database: Database, hold: Hold, answers: Answers) -> None:
    _, booked, waiters = await group(database, hold, doses=1)
    await hold(appended(cancel(booked), first_offset=4))
    stand = await stands(database)
    assert [stand[each.booking_ref] for each in waiters] == [OFFERED, INVITED, INVITED]
    assert [ref for ref, *_ in await claims(database)] == [waiters[0].booking_ref]
    offers = {each.booking_ref: each for each in await open_offers(database)}
    assert len({each.group_id for each in offers.values()}) == len({each.expires_at for each in offers.values()}) == 1
    fastest, slowest = (offers[waiters[number].booking_ref].offer_id for number in (2, 0))
    assert await answers.accept(fastest) is Ended.ACCEPTED
    assert await answers.accept(slowest) is Ended.LOST
    stand = await stands(database)
    assert [stand[each.booking_ref] for each in waiters] == [WAITING, WAITING, CONFIRMED]
    assert await claims(database) == [(waiters[2].booking_ref, tomorrow(), 0)]
    assert await reserved(database) == {"a": 1}
    await check_counters(database)


async def test_a_seat_that_is_offered_stands_in_the_calendar_once_and_as_no_appointment(
    database: Database, hold: Hold
) -> None:
    clinic, booked, waiters = await group(database, hold)
    await hold(appended(cancel(booked), first_offset=4))
    async with database.owner() as owner:
        entries = await calendars.feed(owner, clinic.clinic_id, clinic.provider_id)
    assert [each.booking_ref for each in entries] == [waiters[0].booking_ref]
    written = write_feed(clinic.provider_id, entries)
    assert b"STATUS:TENTATIVE" in written
    assert b"STATUS:CONFIRMED" not in written


async def test_the_seat_is_held_while_any_of_them_may_still_accept(
    database: Database, hold: Hold, answers: Answers, sweeping: Pool
) -> None:
    clinic, booked, waiters = await group(database, hold, doses=1)
    await hold(appended(cancel(booked), first_offset=4))
    offers = {each.booking_ref: each.offer_id for each in await open_offers(database)}
    refs = [each.booking_ref for each in waiters]
    assert await answers.decline(offers[refs[0]]) is Ended.DECLINED
    assert [ref for ref, *_ in await claims(database)] == [refs[1]]
    await hold(appended(book(clinic, "newcomer"), cancel(waiters[1]), first_offset=5))
    assert [ref for ref, *_ in await claims(database)] == [refs[2]]
    stand = await stands(database)
    assert [stand[ref] for ref in refs] == [WAITING, ("cancelled", None), OFFERED]
    await run_out(database, offers[refs[2]])
    assert await lapse(sweeping) == 1
    assert await claims(database) == []
    assert await reserved(database) == {"a": 0}
    told = await rows_of(database, "SELECT outcome FROM offers ORDER BY made_at, offer_id")
    assert sorted(row["outcome"] for row in told) == ["declined", "expired", "withdrawn"]
    await check_counters(database)


async def test_however_many_answer_at_once_exactly_one_has_the_seat(
    database: Database, hold: Hold, answers: Answers, sweeping: Pool
) -> None:
    """Cancels, accepts, declines and sweeps at the same time, at a clinic of each kind."""
    specs = clinics(2, capacity=4)
    await seeded(database, specs)
    async with database.owner() as owner:
        await owner.execute(
            "INSERT INTO service_types (business_id, service_type, duration_minutes, offer_to_all) "
            "VALUES ('demo', 'to all', 30, TRUE)"
        )
        await owner.execute("UPDATE providers SET service_types = array_append(service_types, 'to all')")
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")
    services = dict(zip(specs, ("consultation", "to all"), strict=True))
    booked = [book(spec, f"{spec.clinic_id} {n}", service_type=services[spec]) for spec in specs for n in range(4)]
    morning = TimeRange(tomorrow(9), tomorrow(9) + timedelta(minutes=20))
    waiters = [
        wait(spec, f"{spec.clinic_id} waits {n}", service_type=services[spec], start_at=None, range=morning)
        for spec in specs
        for n in range(10)
    ]
    await hold(appended(*booked, *waiters))

    async def patiently(answer: Answers, offer_id: str, *, accepts: bool) -> Ended:
        while True:
            try:
                return await (answer.accept if accepts else answer.decline)(offer_id)
            except Exception as error:
                if not is_contention(error):
                    raise

    async def cancelled(number: int) -> None:
        await work_off(hold, appended(cancel(booked[number]), first_offset=100 + number), lambda item: item.clinic_id)

    won: list[str] = []
    for number in range(4):
        await asyncio.gather(cancelled(number), cancelled(number + 4))
        offers = await open_offers(database)
        told = [each.offer_id for each in offers]
        outcomes = await asyncio.gather(
            *(patiently(answers, each, accepts=True) for each in told),
            *(patiently(answers, each, accepts=True) for each in reversed(told)),
            *(patiently(answers, each, accepts=False) for each in told[::3]),
            lapse(sweeping),
        )
        accepted = {each for each, outcome in zip(told, outcomes, strict=False) if outcome is Ended.ACCEPTED}
        won += accepted
        rows = await rows_of(database, "SELECT offer_id FROM offers WHERE outcome = 'accepted'")
        assert {row["offer_id"] for row in rows} == set(won), "whoever was told so has it, and nobody else"
    seats = await claims(database)
    assert len(seats) == len({(ref[:4], start, seat) for ref, start, seat in seats}) <= 8
    confirmed = [ref for ref, stand in (await stands(database)).items() if stand == CONFIRMED]
    asked = await rows_of(database, "SELECT booking_ref FROM appointments WHERE stage = 'offered'")
    assert sorted(ref for ref, *_ in seats) == sorted([*confirmed, *(row["booking_ref"] for row in asked)])
    assert len(won) == len(confirmed)
    assert set(await offered_to(database)) >= {row["booking_ref"] for row in asked}
    await check_counters(database)
