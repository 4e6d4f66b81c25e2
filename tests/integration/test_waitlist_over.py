"""Waits that end without a seat: what was waited for has passed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.database import Database
from tests.support.holding import seeded
from tests.support.world import clinics
from waiting_room.store import sql, waitlist
from waiting_room.store.pool import Pool

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
