"""Months of seat claims come before they are needed and go when they are past, and nobody who books waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest

from tests.support.cli import waiting_room
from tests.support.commands import appended, book
from tests.support.database import Database, with_sslmode
from tests.support.holding import Hold, rows_of, seeded
from tests.support.world import clinics, tomorrow
from waiting_room import storage
from waiting_room.domain.claim_days import first_of_month
from waiting_room.storage import Done, Limits
from waiting_room.store import migrate, sql

LIMITS = Limits(book_ahead=90, keep=35, drop=400)
OLD = "0001-LONG-PAST"


def month(today: date, ago: int) -> str:
    """Its name."""
    return f"seat_claims_{first_of_month(today, -ago):%Y_%m}"


async def today_of(database: Database) -> date:
    (row,) = await rows_of(database, "SELECT (now() AT TIME ZONE 'UTC')::date AS today")
    today: date = row["today"]
    return today


async def long_past(database: Database, months: int) -> str:
    """The months since then are there, and in the first a seat that is claimed; its name."""
    today = await today_of(database)
    first = first_of_month(today, -months)
    async with database.owner() as owner:
        await owner.fetchval("SELECT add_claim_ranges($1, $2)", first, today)
        await owner.execute(
            "INSERT INTO appointments (clinic_id, booking_ref, app_id, ticket, status, provider_id, seat, start_at, "
            "end_at, accepted_at, decided_at) VALUES ('0001', $1, 'app', 1, 'completed', '0001-1', 0, "
            "$2::date + interval '9 hours', $2::date + interval '10 hours', now(), now())",
            OLD,
            first,
        )
        await owner.execute(
            "INSERT INTO seat_claims (clinic_id, provider_id, seat, during, day, booking_ref, revision) "
            "SELECT clinic_id, provider_id, seat, tstzrange(start_at, end_at), $2, booking_ref, 1 "
            "FROM appointments WHERE booking_ref = $1",
            OLD,
            first,
        )
    return month(today, months)


async def look_after(database: Database, limits: Limits = LIMITS, patience_seconds: float = 20.0) -> Done:
    async with database.owner() as owner:
        done = await storage.look_after(owner, limits, patience_seconds=patience_seconds)
    assert done is not None
    return done


async def test_months_are_there_before_anybody_books_in_them(database: Database) -> None:
    before = await look_after(database)
    assert before.busy == []
    more = await look_after(database, LIMITS._replace(book_ahead=400))
    assert more.added in (10, 11)
    assert (await look_after(database, LIMITS._replace(book_ahead=400))).added == 0
    async with database.owner() as owner:
        stands = await storage.look(owner, LIMITS._replace(book_ahead=400))
        assert stands.spare >= storage.BEYOND_DAYS
        assert stands.overdue == 0
        [first, *_] = await owner.fetch("SELECT * FROM claim_ranges ORDER BY first_day")
        assert first["first_day"].day == first["until_day"].day == 1


async def test_what_is_past_is_put_away_while_bookings_are_held(database: Database, hold: Hold) -> None:
    specs = clinics(4)
    await seeded(database, specs)
    old = await long_past(database, 5)
    stop = asyncio.Event()

    async def books(number: int) -> int:
        """Hold's login gives up after 200 ms of waiting for a lock: nothing here may raise, but for a disk that pauses
        once.
        """
        held = 0
        while not stop.is_set():
            days, half_hours = divmod(held, 40)  # of the 47 that start in a day
            at = tomorrow(0) + timedelta(days=days, minutes=30 * half_hours)
            items = appended(book(specs[number], f"{number} {held}", start_at=at), first_offset=held, partition=number)
            try:
                await hold(items)
            except asyncpg.LockNotAvailableError:
                await hold(items)
            held += 1
        return held

    booking = [asyncio.create_task(books(number)) for number in range(len(specs))]
    done = await look_after(database)
    stop.set()
    held = sum(await asyncio.gather(*booking))
    assert done.busy == []
    assert old in done.put_away
    reasons = [row["reason"] for row in await rows_of(database, "SELECT DISTINCT reason FROM appointments")]
    assert reasons == [None]
    async with database.owner() as owner:
        assert await owner.fetchval("SELECT count(*) FROM seat_claims") == held > 0
        assert await owner.fetchval(f"SELECT booking_ref FROM archive.{old}") == OLD
        left = [row["name"] for row in await owner.fetch("SELECT name FROM claim_ranges ORDER BY first_day")]
        today = await today_of(database)
        assert left[0] in {month(today, ago) for ago in (1, 2)}
        await owner.execute("DELETE FROM appointments WHERE booking_ref = $1", OLD)  # nothing keeps it any more


async def test_who_still_reads_is_waited_for_and_keeps_nobody_waiting(database: Database, hold: Hold) -> None:
    (clinic,) = specs = clinics(1)
    await seeded(database, specs)
    old = await long_past(database, 3)
    async with database.owner() as reader:
        async with reader.transaction(isolation="repeatable_read", readonly=True):
            assert await reader.fetchval("SELECT count(*) FROM seat_claims") == 1
            assert await reader.fetchval("SELECT count(*) FROM appointments") == 1
            done = await look_after(database, patience_seconds=0.3)
            assert (done.busy, done.put_away) == ([old], [])
            (going,) = await rows_of(database, "SELECT name FROM claim_ranges WHERE going")
            assert going["name"] == old, "begun and not ended, as when it is killed there"
            assert await reader.fetchval("SELECT count(*) FROM seat_claims") == 1
            await hold(appended(book(clinic, "meanwhile")))
        assert await reader.fetchval("SELECT count(*) FROM seat_claims") == 1
    assert (await look_after(database)).put_away[0] == old
    assert [row["status"] for row in await rows_of(database, "SELECT status FROM appointments ORDER BY status")] == [
        "completed",
        "confirmed",
    ]


async def test_what_was_put_away_is_dropped_in_the_end(database: Database) -> None:
    old = await long_past(database, 3)
    await look_after(database)
    assert (await look_after(database, LIMITS._replace(drop=36))).dropped[0] == old
    async with database.owner() as owner:
        assert await owner.fetchval("SELECT to_regclass($1)", f"archive.{old}") is None


OF_ONE_WINDOW = "'{{0001}}', '{{0001-1}}', '{{{at}}}', '{{{until}}}', '{day}', '{day}'"


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (sql.load("holds")["taken"], OF_ONE_WINDOW),
        (sql.load("slots")["taken"], OF_ONE_WINDOW + ", NULL"),
        (
            sql.load("slots")["contested"],
            OF_ONE_WINDOW.replace(", '{day}'", "", 2) + ", '{{app}}', '{{x}}', '{day}', '{day}'",
        ),
    ],
    ids=["hold's look", "ingress's look", "a contested time"],
)
async def test_a_plan_for_any_days_and_clinics_opens_one_part_of_one_month(
    database: Database, statement: str, parameters: str
) -> None:
    await seeded(database, clinics(1))
    at, day = tomorrow(), tomorrow().date()
    given = parameters.format(at=at.isoformat(), until=(at + timedelta(hours=1)).isoformat(), day=day)
    async with database.owner() as owner:
        await owner.execute("SET plan_cache_mode = force_generic_plan")
        await owner.execute(f"PREPARE looked AS {statement}")
        plan = json.loads(await owner.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE looked ({given})"))
    [part] = {name for name in opened(plan[0]["Plan"]) if name.startswith("seat_claims")}
    assert part.startswith(f"seat_claims_{day:%Y_%m}_")


def opened(node: dict[str, Any]) -> Iterator[str]:
    """Tables that were read."""
    if node["Actual Loops"] and "Relation Name" in node:
        yield node["Relation Name"]
    for each in node.get("Plans", ()):
        yield from opened(each)


async def test_only_one_does_it_at_a_time(database: Database) -> None:
    async with database.owner() as one, database.owner() as other:
        await storage.look_after(one, LIMITS)
        assert await storage.look_after(other, LIMITS) is None


async def test_the_command_does_it_and_tells_whether_it_is_done(database: Database) -> None:
    old = await long_past(database, 12)
    behind = await waiting_room("storage", "--check", database=database)
    assert behind.status == 1
    assert "overdue" in behind.err
    did = await waiting_room("storage", database=database)
    assert (did.status, did.err) == (0, "")
    assert old in did.out
    assert (await waiting_room("storage", "--check", database=database)).status == 0


async def test_workers_cannot(database: Database) -> None:
    worker = await asyncpg.connect(database.dsn("hold"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await storage.look_after(worker, LIMITS._replace(book_ahead=400))
    finally:
        await worker.close()


async def test_claims_that_were_there_before_are_taken_over_and_given_back(database: Database) -> None:
    dsn = with_sslmode(database.owner_dsn)
    midnight = tomorrow(0) + timedelta(days=1)
    claims = [
        ("0001-A", midnight - timedelta(minutes=30), midnight),
        ("0001-B", midnight, midnight + timedelta(hours=1)),
        ("0001-C", midnight + timedelta(hours=23, minutes=30), midnight + timedelta(hours=24, minutes=30)),
        ("0001-D", midnight + timedelta(days=5), midnight + timedelta(days=6, hours=12)),
        ("0001-E", midnight + timedelta(days=200), midnight + timedelta(days=200, minutes=30)),
        ("0001-F", midnight - timedelta(days=200), midnight - timedelta(days=199)),
    ]
    whole = "SELECT booking_ref, lower(during) AS from_at, upper(during) AS to_at FROM seat_claims ORDER BY 1"
    async with database.owner() as owner:
        while await owner.fetchval("SELECT count(*) FROM schema_migrations WHERE version = '20261128000028'"):
            await migrate.dbmate(dsn, "rollback")
        await owner.executemany(
            "INSERT INTO appointments (clinic_id, booking_ref, app_id, ticket, status, stage, provider_id, start_at, "
            "accepted_at) VALUES ('0001', $1, 'app', 1, 'pending', 'held', '0001-1', $2, now())",
            [(ref, from_at) for ref, from_at, _ in claims],
        )
        await owner.executemany(
            "INSERT INTO seat_claims (clinic_id, provider_id, seat, during, day, booking_ref, revision) "
            "VALUES ('0001', '0001-1', 0, tstzrange($2, $3), ($2 AT TIME ZONE 'UTC')::date, $1, 1)",
            claims,
        )
    await migrate.migrate(dsn)
    async with database.owner() as owner:
        rows = await owner.fetch(
            "SELECT booking_ref, count(*) AS pieces, min(lower(during)), max(upper(during)) "
            "FROM seat_claims GROUP BY 1 ORDER BY 1"
        )
        assert [row["pieces"] for row in rows] == [1, 1, 2, 2, 1, 1]
        assert [(row[0], row[2], row[3]) for row in rows] == claims
        with pytest.raises(asyncpg.ExclusionViolationError):
            await owner.execute(
                "UPDATE seat_claims SET booking_ref = '0001-A', during = tstzrange($1, $2), day = $3 "
                "WHERE booking_ref = '0001-E'",
                midnight + timedelta(minutes=15),
                midnight + timedelta(minutes=45),
                midnight.date(),
            )
        while await owner.fetchval("SELECT count(*) FROM schema_migrations WHERE version = '20261128000028'"):
            await migrate.dbmate(dsn, "rollback")
        assert [tuple(row) for row in await owner.fetch(whole)] == claims
