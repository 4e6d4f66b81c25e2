"""Months of seat claims: those that are there, those to come, those that go. One function a statement.

What changes the schema is for the schema's owner, and gives up after a twentieth of a second of waiting for others
(``be_brief``): it raises asyncpg.LockNotAvailableError then, and may be tried again.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import asyncpg

from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("storage")


class Range(NamedTuple):
    """Of days, half-open. ``going``: it is being detached, or was when that was interrupted."""

    name: str
    first_day: date
    until_day: date
    going: bool


async def only_one(conn: Connection) -> bool:
    """Whether nobody else is at it. As long as the connection lasts nobody else will be."""
    return bool(await conn.fetchval(_SQL["only_one"]))


async def today(conn: Connection) -> date:
    """By the database's clock, in UTC."""
    found: date = await conn.fetchval(_SQL["today"])
    return found


async def be_brief(conn: Connection) -> None:
    """From now on this connection waits for no lock longer than a twentieth of a second."""
    await conn.execute(_SQL["be_brief"])


async def ranges(conn: Connection) -> list[Range]:
    """In the order of their days."""
    return [Range(*row) for row in await conn.fetch(_SQL["ranges"])]


async def add(conn: Connection, first_day: date, last_day: date) -> int:
    """See to it that there is a month for each of these days; how many there were not."""
    added: int = await conn.fetchval(_SQL["add"], first_day, last_day)
    return added


async def detach(conn: Connection, which: Range) -> None:
    """What is claimed there is claimed no more. Where this fails it is ``going``, and to be detached once more."""
    await _execute(conn, "detach_again" if which.going else "detach", which.name)


async def detached(conn: Connection) -> list[str]:
    """Names of months that are to be put away."""
    return [row["name"] for row in await conn.fetch(_SQL["detached"])]


async def put_away(conn: Connection, name: str) -> None:
    """Into the schema ``archive``."""
    async with conn.transaction():
        for row in await conn.fetch(_SQL["put_away"], name):
            await conn.execute(row["statement"])


async def archived(conn: Connection) -> list[str]:
    """Names of months that were put away."""
    return [row["name"] for row in await conn.fetch(_SQL["archived"])]


async def drop(conn: Connection, name: str) -> None:
    """For good."""
    try:
        await _execute(conn, "drop", name)
    except asyncpg.UndefinedTableError:  # somebody has taken it elsewhere
        return


async def _execute(conn: Connection, statement: str, name: str) -> None:
    """Names cannot be parameters: the statement makes the one that is to be executed."""
    await conn.execute(await conn.fetchval(_SQL[statement], name))
