"""What time does to doses: who does not come gives theirs up, and who is short gets the first that come free."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.test_closures import happens
from tests.support.commands import appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import REST, Hold, rows_of, seeded
from tests.support.stocked import consuming, counted, lot, reserved
from tests.support.world import clinics, settings_for, tomorrow
from waiting_room.domain.appointment import EventType
from waiting_room.store import stock
from waiting_room.store.pool import Pool, create_pool
from waiting_room.telemetry import metrics
from workers.sweep.absent import miss
from workers.sweep.fill import fill


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
