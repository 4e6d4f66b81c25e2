"""What time does to doses: who does not come gives theirs up, and who is short gets the first that come free."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.integration.test_closures import happens
from tests.support.commands import appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import REST, Hold, rows_of, seeded
from tests.support.stocked import consuming, counted, lot, lots_of, reserved
from tests.support.world import clinics, settings_for, tomorrow
from waiting_room.domain.appointment import EventType
from waiting_room.store import stock
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Pool, create_pool
from waiting_room.telemetry import metrics
from workers.sweep.absent import miss
from workers.sweep.fill import fill
from workers.sweep.seen import Seen


@pytest.fixture
async def sweeping(database: Database) -> AsyncIterator[Pool]:
    """With sweep's own login."""
    pool = await create_pool(settings_for(database, None, "sweep"), "sweep")
    yield pool
    await pool.close()


async def test_who_has_not_arrived_in_time_is_absent_where_the_clinic_says_who_arrives(
    database: Database, hold: Hold, sweeping: Pool
) -> None:
    specs = clinics(2, capacity=3)
    await seeded(database, specs)
    async with database.owner() as owner:
        await consuming(owner)
        for spec in specs:
            await counted(owner, spec, lot(f"of {spec.clinic_id}", 5))
        await owner.execute("UPDATE clinics SET no_show_after_minutes = 15 WHERE clinic_id = '0001'")
    commands = [book(spec, f"{spec.clinic_id} {n}") for spec in specs for n in range(3)]
    await hold(appended(*commands))
    late, in_time, ahead, elsewhere, *_ = commands
    async with database.owner() as owner:
        for command, minutes in ((late, 16), (in_time, 14), (elsewhere, 600)):
            await owner.execute(
                "UPDATE appointments SET start_at = now() - make_interval(mins => $1) WHERE booking_ref = $2",
                minutes,
                command.booking_ref,
            )
    assert await miss(sweeping) == 1
    rows = await rows_of(database, 'SELECT booking_ref, status, "by" FROM appointments')
    told = {row["booking_ref"]: (row["status"], row["by"]) for row in rows}
    assert told[late.booking_ref] == ("no_show", "service")
    assert [told[each.booking_ref][0] for each in (in_time, ahead, elsewhere)] == ["confirmed"] * 3
    assert await reserved(database) == {"of 0001": 2, "of 0002": 3}
    seats = {row["booking_ref"] for row in await rows_of(database, "SELECT booking_ref FROM seat_claims")}
    assert late.booking_ref not in seats
    assert await miss(sweeping) == 0


async def test_of_whom_is_being_moved_nobody_can_tell_until_it_is_known_where_to(
    database: Database, hold: Hold, sweeping: Pool
) -> None:
    """It is no row that fails, either: a clinic that does not answer is nobody's fault here."""
    (spec,) = clinics(1, endpoint=REST)
    await seeded(database, [spec])
    command = book(spec, "key")
    await hold(appended(command))
    left_out = metrics.SWEPT.labels("left_out")._value
    before = left_out.get()
    async with database.owner() as owner:
        await happens(owner, spec.clinic_id, command.booking_ref, EventType.CALLING, EventType.CONFIRMED)
        await hold(appended(reschedule(command, "wish", start_at=tomorrow(15)), first_offset=1))
        await owner.execute("UPDATE clinics SET no_show_after_minutes = 0")
        await owner.execute("UPDATE appointments SET start_at = now() - interval '1 minute'")
        assert await miss(sweeping) == 0
        assert left_out.get() == before
        await happens(owner, spec.clinic_id, command.booking_ref, EventType.RESCHEDULE_FAILED)
    assert await miss(sweeping) == 1


async def test_of_whom_nobody_says_what_became_they_were_seen(database: Database, hold: Hold, sweeping: Pool) -> None:
    """Their doses were kept for ever, and no other appointment of the service could be had."""
    specs = clinics(2, capacity=4)
    await seeded(database, specs)
    async with database.owner() as owner:
        await consuming(owner)
        await owner.execute("UPDATE service_types SET one_active = TRUE")
        for spec in specs:
            await counted(owner, spec, lot(f"of {spec.clinic_id}", 4))
        await owner.execute("UPDATE clinics SET no_show_after_minutes = 15 WHERE clinic_id = '0001'")
    arrived, absent, just_arrived = (book(specs[0], name) for name in ("arrived", "absent", "just arrived"))
    silent, just_over, ahead = (book(specs[1], name) for name in ("silent", "just over", "ahead"))
    await hold(appended(arrived, absent, just_arrived, silent, just_over, ahead))
    async with database.owner() as owner:
        for command, hours in ((arrived, 13), (absent, 13), (just_arrived, 11), (silent, 13), (just_over, 11)):
            await owner.execute(
                "UPDATE appointments SET start_at = ended - interval '30 minutes', end_at = ended "
                "FROM (SELECT now() - make_interval(hours => $1) AS ended) AS n WHERE booking_ref = $2",
                hours,
                command.booking_ref,
            )
        past = "UPDATE patient_claims SET day = current_date - 1 WHERE booking_ref <> $1"
        await owner.execute(past, ahead.booking_ref)
        async with owner.transaction():
            journal = await Journal.open(owner, ["0001"])
            there = await journal.load([("0001", each.booking_ref) for each in (arrived, just_arrived)])
            for booking in there.values():
                journal.record(booking, EventType.ARRIVED)
            await journal.write()
    assert await Seen(sweeping, 12).look() == 2
    assert await Seen(sweeping, 12).look() == 0
    told = {row["booking_ref"]: row["status"] for row in await rows_of(database, "TABLE appointments")}
    assert [told[each.booking_ref] for each in (arrived, absent, just_arrived)] == ["completed", "confirmed", "arrived"]
    assert [told[each.booking_ref] for each in (silent, just_over, ahead)] == ["completed", "confirmed", "confirmed"]
    figures = {each.lot: (each.on_hand, each.reserved, each.administered) for each in await lots_of(database)}
    assert figures == {"of 0001": (3, 2, 1), "of 0002": (3, 2, 1)}
    again = book(specs[1], "again", patient=silent.patient, start_at=tomorrow(11))
    outcome = await hold(appended(again, first_offset=6))
    assert [booking.known_state.reason for booking in outcome.decided] == [None]


async def test_a_count_in_the_evening_is_without_those_who_were_seen_that_day(
    database: Database, hold: Hold, sweeping: Pool
) -> None:
    """Their doses left the stock twice: as counted, and when they were taken for seen."""
    (spec,) = clinics(1, capacity=4)
    await seeded(database, [spec])
    async with database.owner() as owner:
        await consuming(owner)
        await counted(owner, spec, lot("a", 5))
    today, tomorrow_ = [book(spec, f"today {number}") for number in range(2)], book(spec, "tomorrow")
    await hold(appended(*today, tomorrow_))

    async def ended(hours: int) -> None:
        moved = "UPDATE appointments SET start_at = now() - $1::interval, end_at = now() - $1::interval + '1 minute' "
        async with database.owner() as owner:
            await owner.execute(
                f"{moved} WHERE booking_ref = ANY($2)", timedelta(hours=hours), [each.booking_ref for each in today]
            )

    await ended(2)
    async with database.owner() as owner:
        assert await counted(owner, spec, lot("a", 3)) == []
    assert [(each.on_hand, each.reserved) for each in await lots_of(database)] == [(3, 1)]
    await ended(13)
    await Seen(sweeping, 12).look()
    assert [(each.on_hand, each.reserved) for each in await lots_of(database)] == [(3, 1)]


async def test_a_dose_that_comes_free_goes_to_the_first_who_is_short(
    database: Database, hold: Hold, sweeping: Pool
) -> None:
    (spec,) = clinics(1, capacity=3)
    await seeded(database, [spec])
    async with database.owner() as owner:
        await consuming(owner)
        await counted(owner, spec, lot("a", 3))
    first, second, third = (book(spec, f"{n}", start_at=tomorrow(9 + n)) for n in range(3))
    await hold(appended(first, second, third))
    async with database.owner() as owner:
        assert await counted(owner, spec, lot("a", 1)) == [second.booking_ref, third.booking_ref]
    assert await fill(sweeping) == 0
    await hold(appended(cancel(first), first_offset=3))
    assert await reserved(database) == {"a": 0}
    assert await fill(sweeping) == 1
    assert await reserved(database) == {"a": 1}
    async with database.owner() as owner:
        assert [each.booking_ref for each in await stock.short(owner)] == [third.booking_ref]
