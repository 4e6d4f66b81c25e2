"""Hold's transaction as tests run it, and what it left in the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from tests.support.database import Database
from tests.support.patients import WHOM
from tests.support.world import ClinicSpec, seed
from waiting_room.store.faults import is_contention
from waiting_room.store.holds import Rules
from waiting_room.store.pool import Pool
from workers.hold.batch import Batch, Deadlines
from workers.hold.outcome import Outcome
from workers.hold.read import Appended, Item

REST = "http://127.0.0.1:9/clinics"
DEADLINES = Deadlines(timedelta(hours=2), timedelta(days=1))


class Hold:
    """Hold's transaction on a pool, as its worker runs it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.rules: dict[str, Rules] = {}

    async def __call__(self, items: Sequence[Item], *, unprocessable: bool = False) -> Outcome:
        async with self.pool.acquire() as conn, conn.transaction():
            return await Batch(conn, self.rules, DEADLINES, WHOM).work(items, unprocessable=unprocessable)


async def patiently(work: Callable[[], Awaitable[Any]]) -> None:
    """As who writes in production does: again, where others held the clinic for too long."""
    while True:
        try:
            await work()
            return
        except Exception as error:
            if not is_contention(error):
                raise


def clinic_of(item: Appended) -> str:
    return item.command.clinic_id


async def seeded(database: Database, specs: list[ClinicSpec]) -> None:
    async with database.owner() as owner:
        await seed(owner, specs)


async def rows_of(database: Database, what: str) -> list[asyncpg.Record]:
    async with database.owner() as owner:
        return list(await owner.fetch(what))


async def check_counters(database: Database) -> None:
    """Sequence numbers without gaps, tickets without gaps, the line is what is pending, and who waits is counted."""
    for row in await rows_of(
        database,
        """
        SELECT c.*, (SELECT count(*) FROM appointments a WHERE a.clinic_id = c.clinic_id AND status = 'pending') AS p,
            (SELECT count(*) FROM appointment_events e WHERE e.clinic_id = c.clinic_id) AS e,
            (SELECT max(seq) FROM appointment_events e WHERE e.clinic_id = c.clinic_id) AS s,
            (SELECT count(ticket) FROM appointments a WHERE a.clinic_id = c.clinic_id) AS t,
            (SELECT count(*) FROM waitlist w WHERE w.clinic_id = c.clinic_id AND w.waits) AS w,
            (SELECT count(*) FROM waitlist w JOIN appointments a USING (clinic_id, booking_ref)
                WHERE w.clinic_id = c.clinic_id AND w.waits AND a.status = 'waitlisted') AS both
        FROM clinic_counters c WHERE last_seq > 0
        """,
    ):
        assert row["line"] == row["p"]
        assert row["last_seq"] == row["e"] == row["s"]
        assert row["last_ticket"] == row["t"]
        assert row["waiting"] == row["w"] == row["both"]
