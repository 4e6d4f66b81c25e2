"""Those who wait for a seat, as tests make them, answer for them and look at them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tests.support.commands import book
from tests.support.database import Database
from tests.support.holding import DEADLINES, rows_of
from tests.support.world import ClinicSpec
from waiting_room.domain.waitlist import Ended
from waiting_room.messages import Book
from waiting_room.store import offering, waitlist
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Pool
from waiting_room.store.waitlist import Offer

OPEN: Final = "SELECT * FROM offers WHERE ended_at IS NULL ORDER BY made_at, booking_ref"

RUN_OUT: Final = """
UPDATE offers SET made_at = now() - interval '1 hour', expires_at = now() - interval '1 second' WHERE offer_id = $1
"""


def wait(spec: ClinicSpec, key: str, **changes: Any) -> Book:
    """As ``book``, and if nothing is free it waits."""
    return book(spec, key, or_wait=True, **changes)


@dataclass(frozen=True)
class Answers:
    """Takes answers to offers as ingress does, with its login."""

    pool: Pool

    async def accept(self, offer_id: str) -> Ended:
        return await self._answer(offer_id, accepts=True)

    async def decline(self, offer_id: str) -> Ended:
        return await self._answer(offer_id, accepts=False)

    async def _answer(self, offer_id: str, *, accepts: bool) -> Ended:
        async with self.pool.acquire() as conn, conn.transaction():
            journal = await Journal.open(conn, [offer_id[:4]])
            offer = await waitlist.offer(conn, offer_id)
            assert offer is not None
            if accepts:
                return await offering.accept(journal, offer, DEADLINES)
            return await offering.decline(journal, offer)


async def open_offers(database: Database) -> list[Offer]:
    """Those that wait for an answer, in the order in which they were made."""
    async with database.owner() as owner:
        found = [await waitlist.offer(owner, row["offer_id"]) for row in await owner.fetch(OPEN)]
    return [each for each in found if each is not None]


async def offered_to(database: Database) -> list[str]:
    """Refs of those who have an offer."""
    return [each.booking_ref for each in await open_offers(database)]


async def stands(database: Database) -> dict[str, tuple[str, str | None]]:
    """(status, stage) by booking_ref."""
    rows = await rows_of(database, "SELECT booking_ref, status, stage FROM appointments ORDER BY ticket")
    return {row["booking_ref"]: (row["status"], row["stage"]) for row in rows}


async def claims(database: Database) -> list[tuple[str, datetime, int]]:
    """(booking_ref, start, seat) of every claim."""
    rows = await rows_of(
        database, "SELECT booking_ref, lower(during) AS start_at, seat FROM seat_claims ORDER BY start_at, seat"
    )
    return [tuple(row) for row in rows]


async def run_out(database: Database, offer_id: str) -> None:
    """Its time is over."""
    async with database.owner() as owner:
        await owner.execute(RUN_OUT, offer_id)
