"""Who is moved by a closure has a dose that will do on the new day, and keeps the distance to what else they have."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from tests.integration.test_closures import closure, item
from tests.support.calendars import put_override
from tests.support.commands import appended, book
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, rows_of, seeded
from tests.support.stocked import consuming, counted, lot, lots_of, reserved
from tests.support.world import BUSINESS, SERVICE, ClinicSpec, clinics, tomorrow
from waiting_room.domain.availability.rules import Override, OverrideKind
from waiting_room.messages import Book, Patient
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Connection
from waiting_room.store.stock import open_stock

A_DAY = timedelta(days=1)
ANNA = Patient(id="anna")
SOON = tomorrow().date()
"""The last day of a lot that goes first."""


async def closed(
    database: Database, hold: Hold, clinic: ClinicSpec, *, days: int, offset: int, from_day: int = 0
) -> None:
    """So many days, counted from ``tomorrow``; who is booked then has been moved or told."""
    since = tomorrow(0) + from_day * A_DAY
    until = since + days * A_DAY
    block = Override(override_id="closure", kind=OverrideKind.BLOCK, from_at=since, to_at=until, slot_minutes=None)
    await put_override(database, clinic, block)
    command = closure(clinic, 0, 1)
    await hold(item(msgspec.structs.replace(command, from_at=since, to_at=until), offset))


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


async def test_it_is_exchanged_for_that_of_who_comes_before_it_expires(database: Database, hold: Hold) -> None:
    """All that will do then was kept for others, who can as well do with what it had."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    async with database.owner() as owner:
        await consuming(owner)
        await counted(owner, clinic, lot("soon", 1, SOON + A_DAY), lot("late", 2))
    moved, after, before = (book(clinic, f"on day {day}", start_at=tomorrow() + day * A_DAY) for day in (1, 3, 0))
    await hold(appended(moved, after, before))
    await closed(database, hold, clinic, from_day=1, days=2, offset=3)
    assert await told(database, moved, before) == [
        ("confirmed", None, tomorrow(0) + 3 * A_DAY),
        ("confirmed", None, tomorrow()),
    ]
    assert await reserved(database) == {"soon": 1, "late": 2}
    rows = await rows_of(database, "SELECT booking_ref, lot FROM dose_claims")
    assert {row["booking_ref"]: row["lot"] for row in rows} == {
        moved.booking_ref: "late",
        after.booking_ref: "late",
        before.booking_ref: "soon",
    }


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


async def test_who_is_short_of_one_product_stays_so_when_another_is_claimed_anew(
    database: Database, hold: Hold
) -> None:
    """That they were short was forgotten, and nobody looked for what they lacked any more."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])

    async def mmr(owner: Connection, on_hand: int) -> None:
        async with owner.transaction():
            await Journal.open(owner, [clinic.clinic_id])
            opened = await open_stock(owner, clinic.clinic_id, "mmr")
            assert opened is not None
            opened.take.count([lot("of mmr", on_hand)])
            await opened.write("a test's key")

    async with database.owner() as owner:
        await consuming(owner)
        await owner.execute("INSERT INTO products VALUES ($1, 'mmr', 'MMR')", BUSINESS)
        more = '[{"product": "mmr", "doses": 1, "pool": "general"}]'
        await owner.execute("UPDATE service_types SET consumes = consumes || $1::jsonb", more)
        await counted(owner, clinic, lot("soon", 1, SOON), lot("late", 1))
        await mmr(owner, 1)
    command = book(clinic, "key")
    await hold(appended(command))
    async with database.owner() as owner:
        await mmr(owner, 0)
    await closed(database, hold, clinic, days=1, offset=1)
    assert await reserved(database) == {"soon": 0, "late": 1, "of mmr": 0}
    short = await rows_of(database, "SELECT booking_ref, product FROM dose_shortages")
    assert [tuple(row) for row in short] == [(command.booking_ref, "mmr")]


async def with_a_second(database: Database, days: int) -> None:
    """A service that follows consultations after so many days at the earliest."""
    async with database.owner() as owner:
        await owner.execute(
            "INSERT INTO service_types (business_id, service_type, duration_minutes, interval_days, interval_after) "
            "VALUES ($1, 'second', 30, $2, $3)",
            BUSINESS,
            days,
            SERVICE,
        )
        await owner.execute("UPDATE providers SET service_types = service_types || '{second}'")


async def test_a_first_dose_is_moved_to_an_earlier_day_before_it_is_too_close_to_the_second(
    database: Database, hold: Hold
) -> None:
    """It went to the next slot, however close to the second that was."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    await with_a_second(database, 3)
    first = book(clinic, "first", patient=ANNA, start_at=tomorrow(9) + 4 * A_DAY)
    second = book(clinic, "second", patient=ANNA, service_type="second", start_at=tomorrow(9) + 8 * A_DAY)
    other = book(clinic, "other", start_at=tomorrow(10) + 4 * A_DAY)
    await hold(appended(first, second, other))
    await closed(database, hold, clinic, from_day=4, days=2, offset=3)
    assert await told(database, first, second, other) == [
        ("confirmed", None, tomorrow(0) + 3 * A_DAY),
        ("confirmed", None, tomorrow(9) + 8 * A_DAY),
        ("confirmed", None, tomorrow(0) + 6 * A_DAY),
    ]
    [claim] = await rows_of(database, "SELECT day FROM patient_claims WHERE service_type = 'consultation' LIMIT 1")
    assert claim["day"] == SOON + 3 * A_DAY
    await check_counters(database)


async def test_where_no_slot_keeps_the_distance_it_is_moved_all_the_same(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    await with_a_second(database, 3)
    first = book(clinic, "first", patient=ANNA, start_at=tomorrow(9))
    second = book(clinic, "second", patient=ANNA, service_type="second", start_at=tomorrow(9) + 3 * A_DAY)
    await hold(appended(first, second))
    await closed(database, hold, clinic, days=1, offset=2)
    assert await told(database, first) == [("confirmed", None, tomorrow(0) + A_DAY)]


async def test_both_of_a_patients_doses_are_moved_and_stay_apart(database: Database, hold: Hold) -> None:
    """The second is as far from where the first is going as it was from where that has been."""
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    await with_a_second(database, 3)
    first = book(clinic, "first", patient=ANNA, start_at=tomorrow(9))
    second = book(clinic, "second", patient=ANNA, service_type="second", start_at=tomorrow(9) + 3 * A_DAY)
    await hold(appended(first, second))
    await closed(database, hold, clinic, days=4, offset=2)
    assert [each[2] for each in await told(database, first, second)] == [
        tomorrow(0) + 4 * A_DAY,
        tomorrow(0) + 7 * A_DAY,
    ]


async def test_a_booster_is_not_moved_too_close_to_the_next_one(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    later = book(clinic, "later", patient=ANNA, start_at=tomorrow(9) + 6 * A_DAY)
    sooner = book(clinic, "sooner", patient=ANNA, start_at=tomorrow(9))
    await hold(appended(later, sooner))
    async with database.owner() as owner:
        await owner.execute("UPDATE service_types SET interval_days = 4")
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")
    await closed(database, hold, clinic, days=4, offset=2)
    wishes = await rows_of(database, "SELECT start_at FROM reschedules")
    assert [row["start_at"] for row in wishes] == [tomorrow(0) + 10 * A_DAY]
