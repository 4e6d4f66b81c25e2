"""Doses go with the seat: claimed in hold's transaction, freed where it is freed, and never more than there are."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import asyncpg
import pytest

from tests.support.commands import appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, clinic_of, rows_of, seeded
from tests.support.stocked import FLU, LATER, consuming, counted, lot, lots_of, reserved, stocked
from tests.support.world import clinics, tomorrow
from waiting_room.domain.appointment import Reason
from waiting_room.messages import Book, TimeRange
from waiting_room.store import stock
from workers.work_off import work_off


async def reasons(database: Database) -> dict[str, str | None]:
    return {row["booking_ref"]: row["reason"] for row in await rows_of(database, "SELECT * FROM appointments")}


async def test_a_dose_is_claimed_with_the_seat_and_who_finds_none_is_told(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST, capacity=5)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 2))
    commands = [book(clinic, f"key {n}") for n in range(4)]
    outcome = await hold(appended(*commands))

    assert [each.booking_ref for each in outcome.due] == [each.booking_ref for each in commands[:2]]
    assert [(await reasons(database))[each.booking_ref] for each in commands[2:]] == [Reason.OUT_OF_STOCK] * 2
    [found] = await lots_of(database)
    assert (found.on_hand, found.reserved) == (2, 2)
    claims = await rows_of(database, "SELECT booking_ref FROM dose_claims ORDER BY booking_ref")
    seats = await rows_of(database, "SELECT booking_ref FROM seat_claims ORDER BY booking_ref")
    assert [*claims] == [*seats]
    await check_counters(database)


async def test_the_first_to_expire_goes_first_and_none_before_its_day(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    soon = tomorrow().date()
    await stocked(database, clinic, lot("late", 2), lot("soon", 2, soon))
    in_two_days = tomorrow() + timedelta(days=1)
    await hold(
        appended(
            book(clinic, "after", start_at=in_two_days),
            book(clinic, "first"),
            book(clinic, "second", start_at=tomorrow(10)),
            book(clinic, "third", start_at=tomorrow(11)),
            book(clinic, "too late", start_at=in_two_days + timedelta(hours=1)),
        )
    )
    assert await reserved(database) == {"soon": 2, "late": 2}
    told = await reasons(database)
    assert told[book(clinic, "too late").booking_ref] == Reason.OUT_OF_STOCK
    [after] = await rows_of(
        database, f"SELECT lot FROM dose_claims WHERE booking_ref = '{book(clinic, 'after').booking_ref}'"
    )
    assert after["lot"] == "late"


async def test_a_dose_is_freed_exactly_when_the_seat_is(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 1))
    first, second = book(clinic, "first"), book(clinic, "second", start_at=tomorrow(10))
    await hold(appended(first))
    async with database.owner() as owner:
        await owner.execute(
            "UPDATE appointments SET clinic_state = 'booked', status = 'confirmed', stage = NULL, decided_at = now()"
        )
        await owner.execute("UPDATE clinic_counters SET line = 0")
    await hold(appended(cancel(first), first_offset=1))
    assert await reserved(database) == {"a": 1}  # the clinic has to take note first
    await hold(appended(second, first_offset=2))
    assert (await reasons(database))[second.booking_ref] == Reason.OUT_OF_STOCK


async def test_a_cancel_in_the_same_batch_and_one_later_give_the_dose_back(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 1))
    first, second, third = (book(clinic, f"{n}", start_at=tomorrow(9 + n)) for n in range(3))
    await hold(appended(first, cancel(first), second))
    assert await reserved(database) == {"a": 1}
    await hold(appended(cancel(second), first_offset=3))
    assert await reserved(database) == {"a": 0}
    await hold(appended(third, first_offset=4))
    told = await rows_of(database, "SELECT status FROM appointments ORDER BY ticket")
    assert [row["status"] for row in told] == ["cancelled", "cancelled", "confirmed"]
    kinds = await rows_of(database, "SELECT kind FROM stock_movements ORDER BY movement")
    assert [row["kind"] for row in kinds] == ["received", "reserved", "released", "reserved"]


async def test_a_dead_hold_gives_up_its_dose(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST, capacity=2)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 1))
    await hold(appended(book(clinic, "dead")))
    async with database.owner() as owner:
        await owner.execute("UPDATE appointments SET hold_until = now() - interval '1 second'")
    alive = book(clinic, "alive")
    outcome = await hold(appended(alive, first_offset=1))
    assert [each.booking_ref for each in outcome.due] == [alive.booking_ref]
    assert await reserved(database) == {"a": 1}


async def test_second_doses_are_kept(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, capacity=4)
    await seeded(database, [clinic])
    async with database.owner() as owner:
        await consuming(owner)
        await consuming(owner, pool="second", service="second dose")
        await owner.execute("UPDATE providers SET service_types = service_types || '{second dose}'")
        await counted(owner, clinic, lot("a", 1), lot("b", 1, pool="second"))
    firsts = [book(clinic, f"first {n}") for n in range(2)]
    seconds = [book(clinic, f"second {n}", service_type="second dose") for n in range(2)]
    await hold(appended(*firsts, *seconds))
    told = await reasons(database)
    assert [told[each.booking_ref] for each in (*firsts, *seconds)] == [
        None,
        Reason.OUT_OF_STOCK,
        None,
        Reason.OUT_OF_STOCK,
    ]


async def test_several_doses_of_one_lot_or_none(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, capacity=2)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 3), doses=2)
    await hold(appended(book(clinic, "one"), book(clinic, "two")))
    assert await reserved(database) == {"a": 2}
    assert [row["doses"] for row in await rows_of(database, "SELECT doses FROM appointments ORDER BY ticket")] == [2, 0]


async def test_nothing_is_given_away_while_somebody_is_short(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, capacity=4)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 2))
    commands = [book(clinic, f"{n}") for n in range(4)]
    await hold(appended(*commands[:2]))
    async with database.owner() as owner:
        assert await counted(owner, clinic, lot("a", 1)) == [commands[1].booking_ref]
        [short] = await stock.short(owner, clinic.clinic_id, FLU)
        assert (short.booking_ref, short.doses, short.ticket) == (commands[1].booking_ref, 1, 2)
    await hold(appended(cancel(commands[0]), commands[2], first_offset=2))
    assert (await reasons(database))[commands[2].booking_ref] == Reason.OUT_OF_STOCK
    async with database.owner() as owner:
        await counted(owner, clinic, lot("a", 1))  # found again: it is the short one's
        assert not await stock.short(owner)
        assert await reserved(database) == {"a": 1}
        await counted(owner, clinic)
        assert len(await stock.short(owner)) == 1
    await hold(appended(cancel(commands[1]), commands[3], first_offset=4))
    async with database.owner() as owner:
        assert not await stock.short(owner), "who has cancelled needs no dose"


async def test_the_schema_refuses_what_must_not_be(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 1))
    await hold(appended(book(clinic, "key")))
    async with database.owner() as owner:
        for wrong in ("on_hand = 0", "reserved = 2", "on_hand = -1", "administered = -1", "wasted = -1"):
            with pytest.raises(asyncpg.CheckViolationError):
                await owner.execute(f"UPDATE stock_lots SET {wrong}")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await owner.execute("DELETE FROM stock_lots")
        with pytest.raises(asyncpg.RaiseError, match="stock_movements is append-only"):
            await owner.execute("DELETE FROM stock_movements")


async def test_many_holds_at_once_never_give_away_more_than_there_is(database: Database, hold: Hold) -> None:
    """Concurrent batches, cancels and recounts over the same clinics: the ledger balances to the dose."""
    chance = random.Random(20261127)
    specs = clinics(3, capacity=4)
    await seeded(database, specs)
    async with database.owner() as owner:
        await consuming(owner)
        for spec in specs:
            await counted(owner, spec, lot("a", 12, tomorrow().date()), lot("b", 8))
    commands: list[Book] = [
        book(spec, f"{spec.clinic_id} {n}", range=TimeRange(tomorrow(8), tomorrow(8) + timedelta(hours=12)))
        for spec in specs
        for n in range(60)
    ]
    batches = []
    for _ in range(18):
        picked = chance.sample(commands, 50)
        batches.append(appended(*picked, *(cancel(each) for each in picked[:8])))

    async def recounts() -> None:
        async with database.owner() as owner:
            await owner.execute("SET lock_timeout = '30s'")
            for _ in range(12):
                await counted(owner, chance.choice(specs), lot("a", chance.randint(4, 14)), lot("b", 8, LATER))

    results = await asyncio.gather(recounts(), *(work_off(hold, batch, clinic_of) for batch in batches))
    assert not [each for found in results[1:] if found for each in found[1]]
    await lots_of(database)
    await check_counters(database)
    keeps = await rows_of(database, "SELECT booking_ref FROM appointments WHERE status = 'confirmed'")
    claims = await rows_of(
        database, "SELECT booking_ref FROM dose_claims UNION ALL SELECT booking_ref FROM dose_shortages"
    )
    assert sorted(row["booking_ref"] for row in keeps) == sorted(row["booking_ref"] for row in claims)


async def test_a_dose_goes_along_and_is_exchanged_where_its_lot_expires_before(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, capacity=4)
    await seeded(database, [clinic])
    soon = tomorrow().date()
    await stocked(database, clinic, lot("soon", 2, soon), lot("late", 1))
    first, second = book(clinic, "first"), book(clinic, "second")
    day_after = tomorrow(9) + timedelta(days=1)
    await hold(
        appended(
            first,
            second,
            reschedule(first, "to ten"),
            reschedule(second, "to the day after", start_at=day_after),
        )
    )
    assert await reserved(database) == {"soon": 1, "late": 1}
    await hold(appended(reschedule(second, "back", start_at=tomorrow(11)), first_offset=4))
    assert await reserved(database) == {"soon": 1, "late": 1}
    await hold(appended(reschedule(first, "to the day after too", start_at=day_after), first_offset=5))
    [refused] = await rows_of(database, "SELECT reason FROM reschedules WHERE outcome = 'refused'")
    assert refused["reason"] == Reason.OUT_OF_STOCK
    assert await reserved(database) == {"soon": 1, "late": 1}
    claims = await rows_of(database, "SELECT booking_ref FROM dose_claims ORDER BY booking_ref")
    assert [row["booking_ref"] for row in claims] == sorted((first.booking_ref, second.booking_ref))
