"""Months of archived bookings: attached, where they are found; detached and put away; written to a file and dropped.

What changes the schema is for the schema's owner. Each step may be done again where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple

from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("archive_ranges")
_PREFIX: Final = "archived_bookings_"
# No character of JSON as it is written: lines come out as they are.
_DELIMITER, _QUOTE = "\x01", "\x02"


class Month(NamedTuple):
    """``going``: it is being detached, or was when that was interrupted."""

    name: str
    going: bool = False

    @property
    def label(self) -> str:
        """YYYY-MM"""
        return self.name.removeprefix(_PREFIX).replace("_", "-")

    @property
    def last_day(self) -> date:
        year, month = map(int, self.label.split("-"))
        return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)


class Digest(NamedTuple):
    """Of a month's lines: how many there are, and the SHA-256 of them all."""

    lines: int
    sha256: str


async def take_time(conn: Connection) -> None:
    """From now on what this connection does may last."""
    await conn.execute(_SQL["take_time"])


async def attached(conn: Connection) -> list[Month]:
    """In their order."""
    return [Month(*row) for row in await conn.fetch(_SQL["attached"])]


async def loose(conn: Connection) -> list[Month]:
    """Those that are detached and still to be put away."""
    return [Month(row["name"]) for row in await conn.fetch(_SQL["loose"])]


async def put_away(conn: Connection) -> list[Month]:
    """Those that were."""
    return [Month(row["name"]) for row in await conn.fetch(_SQL["put_away"])]


async def detach(conn: Connection, name: str) -> None:
    """Nobody finds this month's bookings from then on; outside a transaction. Where this fails it is ``going``, and to
    be detached once more.
    """
    for month in await attached(conn):
        if month.name == name:
            if not month.going:
                await _execute(conn, "count_elsewhere", name)
            await _execute(conn, "detach_again" if month.going else "detach", name)


async def move(conn: Connection, month: Month) -> None:
    """Put away what is loose, and note for good how much that is."""
    async with conn.transaction():
        await _execute(conn, "count_elsewhere", month.name)
        await _execute(conn, "move", month.name)


async def export(conn: Connection, month: Month, write: Callable[[bytes], Coroutine[Any, Any, None]]) -> None:
    """Hand on the bookings of a month that was put away, as JSON lines, in pieces of any length."""
    lines = await conn.fetchval(_SQL["lines"], month.name)
    await conn.copy_from_query(lines, output=write, format="csv", delimiter=_DELIMITER, quote=_QUOTE)


async def digest(conn: Connection, month: Month) -> Digest:
    """Of what `export` hands on."""
    found, lines = sha256(), 0

    async def add(piece: bytes) -> None:
        nonlocal lines
        found.update(piece)
        lines += piece.count(b"\n")

    await export(conn, month, add)
    return Digest(lines, found.hexdigest())


def digest_of(lines: Iterable[bytes]) -> Digest:
    """Of lines that were kept."""
    found, count = sha256(), 0
    for line in lines:
        found.update(line)
        count += 1
    return Digest(count, found.hexdigest())


async def drop(conn: Connection, month: Month) -> None:
    """For good, of a month that was put away."""
    await _execute(conn, "drop", month.name)


async def _execute(conn: Connection, statement: str, name: str) -> None:
    """Names cannot be parameters: the statement makes the one that is to be executed."""
    await conn.execute(await conn.fetchval(_SQL[statement], name))
