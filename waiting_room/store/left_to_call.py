"""What there is left to call at clinics, as PostgreSQL knows it: for whoever takes a line over or fills a lane."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("left_to_call")


class Leased(NamedTuple):
    """A call under way, by its lease: for ``seconds`` more."""

    clinic_id: str
    booking_ref: str
    partition: int
    withdrawing: bool
    seconds: float


async def leased(conn: Connection, partitions: Iterable[int]) -> list[Leased]:
    """Every call under way at clinics of these partitions, whoever makes it."""
    return [Leased(*row) for row in await conn.fetch(_SQL["leased"], list(partitions))]


class Line(NamedTuple):
    """A clinic for which there is a call to make. ``moved``: it, or another clinic from its partition to elsewhere; so
    that there may be work of it for which nothing stands in Kafka where it is now.
    """

    clinic_id: str
    partition: int
    moved: bool


async def lines_in(conn: Connection, partitions: Iterable[int]) -> list[Line]:
    """The lines of these partitions."""
    return [Line(*row) for row in await conn.fetch(_SQL["lines_in"], list(partitions))]


class Taken(NamedTuple):
    """``bookings``: (booking_ref, to be withdrawn), as they go. ``more_in``: seconds until the next comes due, where
    these are all that were and one does soon.
    """

    bookings: list[tuple[str, bool]]
    more_in: float | None


async def take(conn: Connection, clinic_id: str, known: Sequence[str], wanted: int, *, soon_seconds: float) -> Taken:
    """Up to ``wanted`` bookings with a call due and not ``known``."""
    async with conn.transaction():  # one moment for both questions: nothing comes due in between
        rows = await conn.fetch(_SQL["take"], clinic_id, known, wanted)
        more_in = None
        if len(rows) < wanted:
            more_in = await conn.fetchval(_SQL["take_later"], clinic_id, known, soon_seconds)
    return Taken([(row["booking_ref"], row["withdrawing"]) for row in rows], more_in)
