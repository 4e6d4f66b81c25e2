"""What one batch of commands does to a real database: seats, losers, cancels, locks."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

from tests.support.commands import appended, book, cancel
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, clinic_of, rows_of, seeded
from tests.support.world import ClinicSpec, clinics, tomorrow
from waiting_room.domain.appointment import Reason
from waiting_room.messages import TimeRange
from workers.work_off import work_off


async def test_one_seat_goes_to_the_first_and_every_loser_has_a_row(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    commands = [book(clinic, f"key {n}") for n in range(200)]
    outcome = await hold(appended(*commands))

    assert [each.booking_ref for each in outcome.due] == [commands[0].booking_ref]
    rows = await rows_of(database, "SELECT status, reason, count(*) AS n FROM appointments GROUP BY 1, 2")
    assert {(row["status"], row["reason"], row["n"]) for row in rows} == {
        ("pending", None, 1),
        ("rejected", "slot_taken", 199),
    }
    await check_counters(database)


async def test_capacity_gives_seats_side_by_side(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST, capacity=3)
    await seeded(database, [clinic])
    await hold(appended(*(book(clinic, f"key {n}") for n in range(5))))
    claims = await rows_of(database, "SELECT seat FROM seat_claims ORDER BY seat")
    assert [row["seat"] for row in claims] == [0, 1, 2]


async def test_a_range_gets_the_earliest_free_slot_of_any_provider(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST, providers=2)
    await seeded(database, [clinic])
    within = TimeRange(tomorrow(9, 10), tomorrow(11))
    commands = [book(clinic, f"key {n}", provider_id=None, range=within) for n in range(7)]
    await hold(appended(*commands))
    rows = await rows_of(
        database, "SELECT start_at, provider_id, reason FROM appointments ORDER BY ticket NULLS LAST, booking_ref"
    )
    assert [(row["start_at"], row["provider_id"]) for row in rows[:6]] == [
        (tomorrow(*clock), provider)
        for clock in ((9, 30), (10, 0), (10, 30))
        for provider in (f"{clinic.clinic_id}-1", f"{clinic.clinic_id}-2")
    ]
    assert rows[6]["reason"] == Reason.NO_FREE_SLOT


async def test_a_cancel_frees_the_seat_for_the_next_in_the_same_batch(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    first, second = book(clinic, "first"), book(clinic, "second")
    outcome = await hold(appended(first, cancel(first), second))
    assert [each.booking_ref for each in outcome.due] == [second.booking_ref]
    (claim,) = await rows_of(database, "SELECT booking_ref FROM seat_claims")
    assert claim["booking_ref"] == second.booking_ref
    await check_counters(database)


async def test_a_cancel_while_the_clinic_may_know_keeps_the_seat(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    await hold(appended(command))
    async with database.owner() as owner:
        await owner.execute(
            "UPDATE appointments SET clinic_state = 'booked', status = 'confirmed', stage = NULL, decided_at = now()"
        )
        await owner.execute("UPDATE clinic_counters SET line = 0 WHERE clinic_id = $1", clinic.clinic_id)
    outcome = await hold(appended(cancel(command), first_offset=1))
    assert [each.booking_ref for each in outcome.to_withdraw] == [command.booking_ref]
    assert len(await rows_of(database, "SELECT * FROM seat_claims")) == 1


async def test_a_clinic_whose_calendar_we_keep_is_decided_at_once(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    outcome = await hold(appended(book(clinic, "key")))
    assert not outcome.due
    (row,) = await rows_of(database, "SELECT status, clinic_state FROM appointments")
    assert (row["status"], row["clinic_state"]) == ("confirmed", "none")
    await check_counters(database)


async def test_a_dead_hold_in_the_way_gives_up_its_seat(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    await hold(appended(book(clinic, "dead")))
    async with database.owner() as owner:
        await owner.execute("UPDATE appointments SET hold_until = now() - interval '1 second'")
    alive = book(clinic, "alive")
    outcome = await hold(appended(alive, first_offset=1))
    assert [each.booking_ref for each in outcome.due] == [alive.booking_ref]
    rows = await rows_of(database, "SELECT reason FROM appointments WHERE status = 'rejected'")
    assert [row["reason"] for row in rows] == [Reason.CLINIC_UNAVAILABLE]
    await check_counters(database)


async def test_what_cannot_be_stored_is_found_and_the_rest_goes_through(database: Database, hold: Hold) -> None:
    specs = clinics(3, endpoint=REST)
    await seeded(database, specs)
    poison = book(specs[1], "poison", service_type="nul \0 byte")
    unknown = book(ClinicSpec("ZZZZ"), "nowhere")
    good = [
        book(spec, f"good {spec.clinic_id} {hour}", start_at=tomorrow(hour)) for spec in specs for hour in range(1, 9)
    ]
    commands = [*good[:10], poison, *good[10:], unknown]
    outcomes, refused = await work_off(hold, appended(*commands), clinic_of)
    assert {each.item.command.booking_ref for each in refused} == {poison.booking_ref, unknown.booking_ref}
    assert {each.booking_ref for outcome in outcomes for each in outcome.due} == {each.booking_ref for each in good}

    await hold([refused[0].item], unprocessable=True)
    (row,) = await rows_of(database, "SELECT status FROM appointments WHERE reason = 'unprocessable'")
    assert row["status"] == "rejected"
    await check_counters(database)


async def test_a_locked_clinic_does_not_hold_up_the_others(database: Database, hold: Hold) -> None:
    blocked, free = clinics(2, endpoint=REST)
    await seeded(database, [blocked, free])
    commands = [book(blocked, "blocked"), book(free, "free")]
    async with database.owner() as owner:
        transaction = owner.transaction()
        await transaction.start()
        await owner.execute("SELECT FROM clinic_counters WHERE clinic_id = $1 FOR UPDATE", blocked.clinic_id)
        working = asyncio.create_task(work_off(hold, appended(*commands), clinic_of))
        async with database.owner() as looker:
            async with asyncio.timeout(60):
                while not await looker.fetchval("SELECT count(*) FROM appointments"):
                    await asyncio.sleep(0.02)
        assert not working.done()
        await transaction.rollback()
        outcomes, refused = await working
    assert not refused
    assert len([each for outcome in outcomes for each in outcome.due]) == 2


async def test_many_holds_at_once_in_any_order(database: Database, hold: Hold) -> None:
    """Concurrent batches over the same clinics, redelivered at random: no deadlock, no gap, nothing doubled."""
    chance = random.Random(20261123)
    specs = clinics(6, endpoint=REST, capacity=2)
    await seeded(database, specs)
    commands = [
        book(spec, f"{spec.clinic_id} {n}", range=TimeRange(tomorrow(8), tomorrow(8) + timedelta(hours=6)))
        for spec in specs
        for n in range(40)
    ]
    batches = []
    for _ in range(24):
        picked = chance.sample(commands, 60)
        batches.append(appended(*picked, *(cancel(each) for each in picked[:5])))
    results = await asyncio.gather(*(work_off(hold, batch, clinic_of) for batch in batches))
    assert not [each for _, refused in results for each in refused]
    overlaps = await rows_of(
        database,
        """
        SELECT FROM seat_claims a INNER JOIN seat_claims b ON a.provider_id = b.provider_id AND a.seat = b.seat
        AND a.during && b.during AND a.booking_ref < b.booking_ref
        """,
    )
    assert not overlaps
    await check_counters(database)
    keeps = await rows_of(database, "SELECT booking_ref FROM appointments WHERE status = 'pending'")
    claims = await rows_of(database, "SELECT booking_ref FROM seat_claims")
    assert sorted(row["booking_ref"] for row in keeps) == sorted(row["booking_ref"] for row in claims)
