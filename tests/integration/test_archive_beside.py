"""Archived bookings beside what goes on: hold, patients and their lists go by both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.support.archived import PATIENT, archive, long_ago, over, publish
from tests.support.commands import APP, appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import Hold, patiently, rows_of, seeded
from tests.support.patients import tag
from tests.support.world import clinics, seed, tomorrow
from tests.support.written import HELD, plant
from waiting_room.messages import Book, Cancel, Reschedule
from waiting_room.store import archiving, bookings, erasure
from waiting_room.store.erasure import StillWanted
from waiting_room.store.pool import Connection, Pool

[SPEC, OTHER] = clinics(2)


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    async with database.owner() as connection:
        await seed(connection, [SPEC, OTHER])
        yield connection


async def test_hold_finds_archived_bookings_made_and_leaves_them_alone(database: Database, hold: Hold) -> None:
    await seeded(database, [SPEC, OTHER])
    first, second = book(SPEC, "first"), book(SPEC, "second", start_at=tomorrow(11))
    never = book(SPEC, "never")
    again = book(OTHER, "first")  # the same key at another clinic
    await hold(appended(first, second, cancel(never), again))
    async with database.owner() as owner:
        await publish(owner)
        refs = [first.booking_ref, never.booking_ref]
        assert await archive(owner, "0001", refs, days_ahead=20) == set(refs)
    events = await rows_of(database, "SELECT seq FROM appointment_events")
    commands: list[Book | Cancel | Reschedule] = [
        first,  # read again, or sent again with another body
        book(SPEC, "first", body_hash=b"another"),
        cancel(first),
        reschedule(first, "a wish"),
        cancel(never),
        cancel(again),  # leads to the first
        again,
    ]
    for number, command in enumerate(commands):
        outcome = await hold(appended(command, first_offset=10 * number + 10))
        assert (outcome.due, outcome.decided) == ([], [])
    await hold(appended(*commands, first_offset=100))
    assert await rows_of(database, "SELECT seq FROM appointment_events") == events
    assert [row["booking_ref"] for row in await rows_of(database, "SELECT booking_ref FROM appointments")] == [
        second.booking_ref
    ]
    third = book(SPEC, "third")  # at the time that the first one had
    early = book(SPEC, "early", start_at=tomorrow(12))
    await hold(appended(third, cancel(early), early, first_offset=200))
    told = {row["booking_ref"]: row["status"] for row in await rows_of(database, "SELECT * FROM appointments")}
    assert told[third.booking_ref] == "confirmed"
    assert told[early.booking_ref] == "cancelled"


async def test_it_goes_on_beside_hold(database: Database, hold: Hold, sweeping: Pool) -> None:
    await seeded(database, [SPEC])
    starts = [tomorrow(hour, minute) for hour in range(1, 23) for minute in (0, 30)][:40]
    books = [book(SPEC, f"{number}", start_at=start_at) for number, start_at in enumerate(starts)]
    await hold(appended(*books[:20]))
    async with database.owner() as owner:
        await publish(owner)
        refs = [each.booking_ref for each in books]
        for month in {start_at.date().replace(day=1) for start_at in starts}:
            await archiving.make_range(owner, month)

        async def archived(some: list[str]) -> None:
            async with sweeping.acquire() as conn, conn.transaction():
                await archiving.archive(conn, "0001", some, datetime.now(UTC) + timedelta(days=9))

        async def archived_all() -> None:
            for at in range(0, 20, 2):
                await patiently(partial(archived, refs[at : at + 2]))

        async def held() -> None:
            for number in range(20, 40):
                redelivered, cancelled = books[number - 20], cancel(books[number - 15])
                items = appended(books[number], redelivered, cancelled, first_offset=100 * number)
                await patiently(partial(hold, items))

        await asyncio.gather(archived_all(), held())
    rows = await rows_of(
        database,
        "SELECT booking_ref FROM appointments UNION ALL SELECT booking_ref FROM archived_bookings",
    )
    assert sorted(row["booking_ref"] for row in rows) == sorted(refs)
    events = await rows_of(
        database,
        """
        SELECT seq FROM appointment_events
        UNION ALL
        SELECT (e ->> 'seq')::bigint FROM archived_bookings, jsonb_array_elements(document -> 'events') AS e
        ORDER BY seq
        """,
    )
    assert [row["seq"] for row in events] == list(range(1, len(events) + 1))


async def test_what_a_patient_had_counts_until_no_interval_asks_for_it(owner: Connection, sweeping: Pool) -> None:
    booking, older = await over(owner, SPEC, 1), await over(owner, SPEC, 2)
    for each, days in ((booking, 40), (older, 731)):
        await owner.execute(
            "INSERT INTO patient_claims VALUES ('0001', $1, 'app', $2, NULL, 'demo', 'consultation', "
            "current_date - $3::integer, FALSE, TRUE)",
            each.booking_ref,
            tag("anna"),
            days,
        )
    async with sweeping.acquire() as conn:
        refs = [booking.booking_ref, older.booking_ref]
        assert await archive(conn, "0001", refs) == set(refs)
        assert await archiving.forget_claims(conn, 100) == 1
    assert await owner.fetchval("SELECT booking_ref FROM patient_claims") == booking.booking_ref


async def test_forgetting_a_patient_reaches_the_archive(owner: Connection, sweeping: Pool) -> None:
    booking, other = await over(owner, SPEC, 1), await over(owner, SPEC, 2, patient={"id": "ben"})
    await archive(owner, "0001", [booking.booking_ref, other.booking_ref])
    await owner.execute("UPDATE patient_keys SET used_until = now() - interval '400 days'")
    [anna, ben] = sorted(await erasure.unused(owner, 50, 10), key=lambda each: each.patient_id != tag("anna"))
    assert (anna.used_until, anna.still_used, ben.still_used) == (booking.end_at, True, True)
    assert not any(each.still_used for each in await erasure.unused(owner, 10, 10))
    still = await plant(owner, OTHER, 1, HELD, patient=PATIENT)
    async with sweeping.acquire() as conn:
        with pytest.raises(StillWanted, match=still.booking_ref):
            async with conn.transaction():
                await erasure.erase(conn, (APP, tag("anna")))
        await owner.execute(
            "UPDATE appointments SET status = 'cancelled', stage = NULL, reason = 'pat', decided_at = now()"
        )
        async with conn.transaction():
            erased = await erasure.erase(conn, (APP, tag("anna")))
    assert (erased.bookings, erased.known) == (2, True)
    rows = await owner.fetch("SELECT booking_ref, patient_id, patient, patient_erased_at FROM archived_bookings")
    kept = {row["booking_ref"]: tuple(row)[1:] for row in rows}
    assert kept[booking.booking_ref][:2] == (None, None)
    assert kept[booking.booking_ref][2] is not None
    assert kept[other.booking_ref][0] == tag("ben")
    assert await bookings.of_patient(owner, APP, tag("anna"), None, 10) == []
    row = await bookings.booking(owner, booking.booking_ref)
    assert row is not None
    assert row.patient_erased_at is not None


async def test_lists_go_on_in_order_over_both(owner: Connection) -> None:
    made = [await over(owner, SPEC, number) for number in range(6)]
    await archive(owner, "0001", [made[number].booking_ref for number in (0, 3, 4)])
    newest_first = [each.booking_ref for each in reversed(made)]
    day = long_ago(0)
    for limit in (1, 2, 5, 6, 10):
        found: list[str] = []
        page = await bookings.of_patient(owner, APP, tag("anna"), None, limit)
        while page:
            found += [each.booking_ref for each in page]
            page = await bookings.of_patient(owner, APP, tag("anna"), page[-1], limit)
        assert found == newest_first
        of_day = await bookings.of_day(owner, "0001", day, day + timedelta(days=1), None, limit)
        while of_day and len(of_day) % limit == 0:
            more = await bookings.of_day(owner, "0001", day, day + timedelta(days=1), of_day[-1], limit)
            if not more:
                break
            of_day += more
        assert [each.booking_ref for each in of_day] == newest_first[::-1]
    rows = await bookings.bookings(owner, newest_first)
    assert [row.booking_ref for row in rows] == newest_first
    assert [row.archived for row in rows] == [False, True, True, False, False, True]
