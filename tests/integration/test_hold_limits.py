"""What a patient may have is decided by hold, whichever ingress took the commands and whichever clinics they name."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from tests.support.commands import appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import REST, Hold, check_counters, clinic_of, rows_of, seeded
from tests.support.world import BUSINESS, SERVICE, ClinicSpec, clinics, tomorrow
from waiting_room.domain.appointment import By, Reason
from waiting_room.messages import Book, Patient, TimeRange
from workers.work_off import work_off

ANNA = Patient(id="anna")


def wish(spec: ClinicSpec, hour: int, **changes: object) -> Book:
    asked = {"patient": ANNA, "start_at": tomorrow(hour), **changes}
    return book(spec, f"{spec.clinic_id} at {hour} {changes}", **asked)


async def reasons(database: Database, *commands: Book) -> list[str | None]:
    rows = {row["booking_ref"]: row["reason"] for row in await rows_of(database, "SELECT * FROM appointments")}
    return [rows[command.booking_ref] for command in commands]


async def serve(database: Database, **columns: object) -> None:
    async with database.owner() as owner:
        for column, value in columns.items():
            await owner.execute(f"UPDATE service_types SET {column} = $1", value)
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")


async def test_so_many_pending_and_no_more_over_all_clinics(database: Database, hold: Hold) -> None:
    specs = clinics(3, endpoint=REST)
    await seeded(database, specs)
    commands = [wish(spec, hour) for hour in (9, 10) for spec in specs]
    await hold(appended(*commands))
    assert await reasons(database, *commands) == [None] * 5 + [Reason.TOO_MANY_PENDING]
    again, other = wish(specs[0], 11), wish(specs[0], 12, patient=Patient(id="ben"))
    await hold(appended(other, cancel(commands[0]), again, first_offset=10))
    assert await reasons(database, other, again) == [None, None]
    await check_counters(database)


async def test_what_is_decided_waits_no_more(database: Database, hold: Hold) -> None:
    (spec,) = clinics(1)
    await seeded(database, [spec])
    commands = [wish(spec, hour) for hour in range(9, 17)]
    await hold(appended(*commands))
    assert await reasons(database, *commands) == [None] * 8
    assert not await rows_of(database, "SELECT * FROM patient_claims")


async def test_one_active_booking_of_a_service(database: Database, hold: Hold) -> None:
    specs = clinics(2)
    await seeded(database, specs)
    await serve(database, one_active=True)
    first, second, third = wish(specs[0], 9), wish(specs[1], 10), wish(specs[1], 11)
    await hold(appended(first, second))
    assert await reasons(database, first, second) == [None, Reason.ALREADY_BOOKED]
    await hold(appended(cancel(first), third, first_offset=2))
    assert await reasons(database, third) == [None]
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.owner() as owner:
            await owner.execute(
                "INSERT INTO patient_claims SELECT clinic_id, 'another', app_id, patient_id, NULL, business_id, "
                "service_type, day, TRUE, TRUE FROM patient_claims"
            )


async def test_the_interval_between_doses(database: Database, hold: Hold) -> None:
    (spec,) = clinics(1)
    await seeded(database, [spec])
    await serve(database, interval_days=3)
    first, soon = wish(spec, 9), wish(spec, 10)
    within = wish(spec, 0, start_at=None, range=TimeRange(tomorrow(8), tomorrow(8) + timedelta(days=6)))
    await hold(appended(first, soon, within))
    assert await reasons(database, first, soon, within) == [None, Reason.TOO_SOON, None]
    [row] = await rows_of(database, f"SELECT start_at FROM appointments WHERE booking_ref = '{within.booking_ref}'")
    assert row["start_at"] == tomorrow(0) + timedelta(days=3)


async def test_a_first_dose_is_not_moved_too_close_to_the_second(database: Database, hold: Hold) -> None:
    (spec,) = clinics(1)
    await seeded(database, [spec])
    async with database.owner() as owner:
        await owner.execute(
            "INSERT INTO service_types (business_id, service_type, duration_minutes, interval_days, interval_after) "
            "VALUES ($1, 'second', 30, 3, $2)",
            BUSINESS,
            SERVICE,
        )
        await owner.execute("UPDATE providers SET service_types = service_types || '{second}'")
    first = wish(spec, 9)
    second = wish(spec, 0, start_at=tomorrow(9) + timedelta(days=4), service_type="second")
    another = wish(spec, 0, start_at=tomorrow(9) + timedelta(days=2))
    await hold(appended(first, second, another))
    assert await reasons(database, first, second, another) == [None, None, Reason.TOO_SOON]
    away = TimeRange(tomorrow(9) + timedelta(days=2), tomorrow(9) + timedelta(days=6))
    last = TimeRange(tomorrow(12), tomorrow(9) + timedelta(days=6))
    await hold(appended(reschedule(first, "away", range=away), reschedule(first, "last", range=last), first_offset=3))
    wishes = await rows_of(database, "SELECT outcome, reason, start_at FROM reschedules ORDER BY revision")
    assert [tuple(row) for row in wishes] == [("refused", "too_soon", None), ("rescheduled", None, tomorrow(12))]


async def test_many_holds_at_once_let_nobody_hoard(database: Database, hold: Hold) -> None:
    specs = clinics(6, endpoint=REST)
    await seeded(database, specs)
    commands = [wish(spec, hour) for spec in specs for hour in range(9, 14)]
    batches = [appended(*commands[first::6]) for first in range(6)]
    results = await asyncio.gather(*(work_off(hold, batch, clinic_of) for batch in batches))
    assert not [each for _, refused in results for each in refused]
    told = await reasons(database, *commands)
    assert (told.count(None), told.count(Reason.TOO_MANY_PENDING)) == (5, 25)


async def test_a_cancel_that_comes_too_late_changes_nothing_and_is_told(database: Database, hold: Hold) -> None:
    (spec,) = clinics(1)
    await seeded(database, [spec])
    await serve(database, cancel_notice_minutes=2 * 24 * 60)
    long_ago = tomorrow() - timedelta(days=5)
    command = wish(spec, 9, accepted_at=long_ago)
    await hold(appended(command))
    for _ in range(2):  # a redelivery says nothing twice
        await hold(appended(cancel(command), first_offset=1))
    [row] = await rows_of(database, "SELECT status, row_version FROM appointments")
    assert (row["status"], row["row_version"]) == ("confirmed", 4)
    events = await rows_of(database, "SELECT event FROM appointment_events ORDER BY seq DESC")
    assert events[0]["event"] == "booking.cancel_refused"
    await hold(appended(cancel(command, by=By.CLINIC, reason=Reason.PROVIDER), first_offset=2))
    [row] = await rows_of(database, "SELECT status, reason FROM appointments")
    assert (row["status"], row["reason"]) == ("cancelled", "prov")


async def test_a_service_may_have_its_own_notice(database: Database, hold: Hold) -> None:
    (spec,) = clinics(1)
    await seeded(database, [spec])
    await serve(database, cancel_notice_minutes=0)
    command = wish(spec, 23, accepted_at=tomorrow() - timedelta(days=5), service_type=SERVICE)
    await hold(appended(command, cancel(command)))
    [row] = await rows_of(database, "SELECT status FROM appointments")
    assert row["status"] == "cancelled"
