"""Clinics that are taken to be down: said by who calls them, read by who must not count the time against anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from waiting_room.store import sql
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Connection

_SQL = sql.load("outages")

FRESH_SECONDS = 30.0
"""An outage that nobody has said again for so long is over, or its worker is."""


async def say(conn: Connection, clinic_ids: Sequence[str]) -> None:
    """These are down; to be said again every few seconds."""
    await conn.execute(_SQL["say"], clinic_ids, FRESH_SECONDS)


async def end(conn: Connection, clinic_ids: Sequence[str]) -> None:
    """These answer again."""
    await conn.execute(_SQL["end"], clinic_ids)


async def running_out(conn: Connection, within_seconds: float) -> list[str]:
    """Clinics that are down and at which a hold runs out soon that may be extended; in ascending id."""
    return [row["clinic_id"] for row in await conn.fetch(_SQL["running_out"], FRESH_SECONDS, within_seconds)]


async def extend(conn: Connection, clinic_ids: Sequence[str]) -> Counter[str]:
    """Let everything that waits at these clinics wait until a decision is of no use any more; how many, by clinic.

    Inside the caller's transaction, which locks the clinics.
    """
    await Journal.open(conn, clinic_ids)
    return Counter(row["clinic_id"] for row in await conn.fetch(_SQL["extend"], clinic_ids))
