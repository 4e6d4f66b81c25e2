"""Waits that end without a seat: what was waited for has passed, or nobody offers it any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.commands import appended, book
from tests.support.database import Database
from tests.support.holding import Hold, check_counters, rows_of, seeded
from tests.support.waiting import wait
from tests.support.world import clinics
from waiting_room.store import offering, sql, waitlist
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Pool
from workers.sweep.waitlist import Looking

MANY = """
INSERT INTO appointments (clinic_id, booking_ref, app_id, ticket, status, stage, reason, accepted_at, decided_at)
SELECT
    '0001', '0001-' || n, 'app', n, CASE WHEN n > 2000 THEN 'waitlisted' ELSE 'rejected' END,
    CASE WHEN n > 2000 THEN 'waiting' END, CASE WHEN n <= 2000 THEN 'no_free_slot' END, now(), now()
FROM generate_series(1, 4000) AS n;
ANALYZE appointments;
INSERT INTO waitlist
SELECT
    clinic_id, booking_ref, 'consultation', NULL, now() - interval '9 h',
    now() + CASE WHEN ticket > 2005 THEN interval '1 h' ELSE interval '-1 h' END, status = 'waitlisted'
FROM appointments;
ANALYZE waitlist
"""
"""2,000 have waited for a time that has passed and were told so, 2,000 wait: five of them for one that has passed."""


async def test_who_waits_for_what_has_passed_is_found_among_many(database: Database, sweeping: Pool) -> None:
    await seeded(database, clinics(1))
    over = sql.load("waitlist")["over"]
    async with database.owner() as owner:
        for statement in MANY.split(";"):
            await owner.execute(statement)
        await owner.execute(f"PREPARE over AS {over}")
        plan = json.loads(await owner.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE over (200)"))
    async with sweeping.acquire() as conn:
        found = await waitlist.over(conn, 200)
    assert sorted(ref for _, ref in found) == [f"0001-{number}" for number in range(2001, 2006)]
    assert sum(rows_read(plan[0]["Plan"])) == 10, "of each table the five"


def rows_read(node: dict[str, Any]) -> Iterator[int]:
    """From tables, whether they were of use or not."""
    if "Relation Name" in node:
        yield (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    for each in node.get("Plans", ()):
        yield from rows_read(each)


async def test_who_waits_for_what_nobody_offers_any_more_is_told(
    database: Database, hold: Hold, sweeping: Pool
) -> None:
    """They waited until it had passed."""
    (clinic,) = clinics(1, providers=2)
    await seeded(database, [clinic])
    either, first, second = [f"0001-{number}" for number in (0, 1, 2)]
    booked = [book(clinic, each, provider_id=each) for each in (first, second)]
    named = {each: wait(clinic, f"waits {each}", provider_id=each) for each in (first, second)}
    named[either] = wait(clinic, "waits", provider_id=None)
    await hold(appended(*booked, *named.values()))
    await Looking(sweeping).look()
    assert await ended(database) == {}

    await withdrawn(database, first)
    await Looking(sweeping).look()
    assert await ended(database) == {named[first].booking_ref: "not_bookable"}
    await withdrawn(database, second)
    async with database.owner() as owner:
        await owner.execute("UPDATE clinics SET status = 'closed'")
    await Looking(sweeping).look()
    assert await ended(database) == {each.booking_ref: "not_bookable" for each in named.values()}
    await check_counters(database)


async def test_who_waits_on_while_their_wait_is_being_ended_is_left(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    waits = wait(clinic, "waits")
    await hold(appended(book(clinic, "booked"), waits))
    async with hold.pool.acquire() as conn, conn.transaction():
        journal = await Journal.open(conn, ["0001"])
        assert await offering.end_in_vain(journal, [("0001", waits.booking_ref)]) == [], "it is offered again by now"
    assert await ended(database) == {}


async def withdrawn(database: Database, provider_id: str) -> None:
    """This provider does something else from now on."""
    async with database.owner() as owner:
        await owner.execute("UPDATE providers SET service_types = '{other}' WHERE provider_id = $1", provider_id)
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")


async def ended(database: Database) -> dict[str, str]:
    """By booking_ref, why it was rejected."""
    rows = await rows_of(database, "SELECT booking_ref, reason FROM appointments WHERE status = 'rejected'")
    return {row["booking_ref"]: row["reason"] for row in rows}
