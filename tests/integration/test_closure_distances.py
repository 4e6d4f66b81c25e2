"""Who is moved by a closure has a dose that will do on the new day, and keeps the distance to what else they have."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from tests.integration.test_closures import closure, item
from tests.support.calendars import put_override
from tests.support.commands import appended, book
from tests.support.database import Database
from tests.support.holding import Hold, check_counters, rows_of, seeded
from tests.support.stocked import consuming, counted, lot, lots_of, reserved
from tests.support.world import ClinicSpec, clinics, tomorrow
from waiting_room.domain.availability.rules import Override, OverrideKind
from waiting_room.messages import Book

A_DAY = timedelta(days=1)
SOON = tomorrow().date()
"""The last day of a lot that goes first."""


async def closed(database: Database, hold: Hold, clinic: ClinicSpec, *, days: int, offset: int) -> None:
    """From the day of ``tomorrow`` on for so many; who is booked then has been moved or told."""
    until = tomorrow(0) + days * A_DAY
    block = Override(
        override_id="closure", kind=OverrideKind.BLOCK, from_at=tomorrow(0), to_at=until, slot_minutes=None
    )
    await put_override(database, clinic, block)
    command = closure(clinic, 0, 1)
    await hold(item(msgspec.structs.replace(command, to_at=until), offset))


async def told(database: Database, *commands: Book) -> list[tuple[str, str | None, datetime | None]]:
    """(status, reason, start) of each."""
    rows = {row["booking_ref"]: row for row in await rows_of(database, "SELECT * FROM appointments")}
    found = [rows[each.booking_ref] for each in commands]
    return [(row["status"], row["reason"], row["start_at"]) for row in found]


async def test_a_dose_that_expires_before_the_new_day_is_claimed_anew(database: Database, hold: Hold) -> None:
    """First come first served; of the lot that goes first of those that will do."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    async with database.owner() as owner:
        await consuming(owner)
        await counted(owner, clinic, lot("soon", 3, SOON))
    commands = [book(clinic, f"{hour}", start_at=tomorrow(hour)) for hour in (11, 10, 9)]
    await hold(appended(*commands))
    async with database.owner() as owner:
        lots = lot("soon", 3, SOON), lot("late", 1, SOON + 30 * A_DAY), lot("later", 1, SOON + 60 * A_DAY)
        await counted(owner, clinic, *lots)
    await closed(database, hold, clinic, days=1, offset=3)
    assert await told(database, *commands) == [
        ("confirmed", None, tomorrow(0) + A_DAY),
        ("confirmed", None, tomorrow(0, 30) + A_DAY),
        ("cancelled", "out_of_stock", tomorrow(9)),
    ]
    assert await reserved(database) == {"soon": 0, "late": 1, "later": 1}
    claims = await rows_of(database, "SELECT booking_ref, lot FROM dose_claims ORDER BY lot")
    assert [tuple(row) for row in claims] == [(commands[0].booking_ref, "late"), (commands[1].booking_ref, "later")]
    await check_counters(database)


async def test_who_has_a_dose_that_will_not_do_then_is_no_newcomer(database: Database, hold: Hold) -> None:
    """Others are short, who booked later: what is free is not kept from who had a dose."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    async with database.owner() as owner:
        await consuming(owner)
        await counted(owner, clinic, lot("soon", 1, SOON), lot("late", 1))
    moved, ahead = book(clinic, "moved"), book(clinic, "ahead", start_at=tomorrow() + 3 * A_DAY)
    await hold(appended(moved, ahead))
    async with database.owner() as owner:
        assert await counted(owner, clinic, lot("soon", 1, SOON)) == [ahead.booking_ref]
        await owner.execute("UPDATE stock_lots SET on_hand = 1 WHERE lot = 'late'")
        await owner.execute(
            "INSERT INTO stock_movements (clinic_id, product, kind, pool, lot, on_hand) "
            "VALUES ($1, 'flu', 'received', 'general', 'late', 1)",
            clinic.clinic_id,
        )
    await closed(database, hold, clinic, days=1, offset=2)
    assert [each[0] for each in await told(database, moved, ahead)] == ["confirmed", "confirmed"]
    [claim] = await rows_of(database, "SELECT booking_ref, lot FROM dose_claims")
    assert tuple(claim) == (moved.booking_ref, "late")
    [short] = await rows_of(database, "SELECT booking_ref FROM dose_shortages")
    assert short["booking_ref"] == ahead.booking_ref
    await lots_of(database)
