"""Who waits, by clinic, as PostgreSQL knows it, whoever works on it or does not."""

from __future__ import annotations

from typing import NamedTuple

from waiting_room.store import sql
from waiting_room.store.outages import FRESH_SECONDS
from waiting_room.store.pool import Connection

_SQL = sql.load("lines")


class WaitingLine(NamedTuple):
    """A clinic's undecided bookings, and for how long the first of them has waited to be decided."""

    clinic_id: str
    line: int
    oldest_seconds: float
    down: bool


async def waiting(conn: Connection) -> list[WaitingLine]:
    """Of every clinic that has a line. Raises database errors."""
    return [WaitingLine(*row) for row in await conn.fetch(_SQL["waiting"], FRESH_SECONDS)]
