"""Keeps months of seat claims: there before anybody can book in them, gone when they are long past (docs/storage.md).
And puts old months of archived bookings away, which are never dropped here (docs/archive.md).

Everything here is for the schema's owner, may run at any time, twice, and be interrupted anywhere: the next run goes on
from what it finds. Nobody who books waits for it longer than a twentieth of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Final, NamedTuple

import msgspec

from waiting_room.domain.claim_days import first_of_month
from waiting_room.settings import Settings
from waiting_room.store import archive_ranges, storage
from waiting_room.store.faults import is_contention
from waiting_room.store.pool import Connection
from waiting_room.store.storage import Range

BEYOND_DAYS: Final = 93
"""Months are there for so long beyond the furthest start that may be booked: who asks for a range may be given a start
at its end, and three months may pass before anybody has to mend what keeps this from running."""
PATIENCE_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.2


Work = Callable[[], Awaitable[None]]


class Limits(NamedTuple):
    """As ``Settings`` has them, in days."""

    book_ahead: int
    keep: int
    drop: int
    keep_archived: int = 3_650

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            settings.book_ahead_max_days,
            settings.claims_keep_days,
            settings.claims_drop_days,
            settings.archive_keep_days,
        )


class Standing(NamedTuple):
    """Days beyond the furthest that may be booked in which seats can be claimed, and days that should be put away."""

    spare: int
    overdue: int


class Done(msgspec.Struct):
    """What was done. ``busy``: what could not be, because somebody used it all the time; the next run will."""

    added: int = 0
    put_away: list[str] = []
    dropped: list[str] = []
    busy: list[str] = []


def standing(ranges: Sequence[Range], today: date, limits: Limits) -> Standing:
    """Pure."""
    there = [each for each in ranges if not each.going]
    until = max((each.until_day for each in there), default=today)
    oldest = min((each.until_day for each in ranges), default=today)
    overdue = (today - oldest).days - limits.keep
    return Standing((until - today).days - limits.book_ahead, max(overdue, 0))


async def look(conn: Connection, limits: Limits) -> Standing:
    """How it stands."""
    return standing(await storage.ranges(conn), await storage.today(conn), limits)


async def look_after(conn: Connection, limits: Limits, *, patience_seconds: float = PATIENCE_SECONDS) -> Done | None:
    """Add the months that are missing, put away the old ones, drop the oldest of the claims. None if somebody else is
    at it.

    ``conn``: the owner's, outside a transaction; it is brief from then on. Raises database errors.
    """
    if not await storage.only_one(conn):
        return None
    await storage.be_brief(conn)
    today, done = await storage.today(conn), Done()

    async def does(what: str, work: Work) -> bool:
        """Whether it did it, however often it had to begin."""
        if await _patiently(work, patience_seconds):
            return True
        done.busy.append(what)
        return False

    async def add() -> None:
        done.added = await storage.add(conn, today, last_day)

    last_day = today + timedelta(days=limits.book_ahead + BEYOND_DAYS)
    await does(f"months up to {last_day:%Y-%m}", add)
    for each in await storage.ranges(conn):
        due = each.going or today - each.until_day >= timedelta(days=limits.keep)
        if due and not await does(each.name, partial(_detach, conn, each.name)):
            break  # of one table one partition goes at a time
    for name in await storage.detached(conn):
        if await does(name, partial(storage.put_away, conn, name)):
            done.put_away.append(name)
    for name in await storage.archived(conn):
        if today - _until(name) >= timedelta(days=limits.drop) and await does(name, partial(storage.drop, conn, name)):
            done.dropped.append(name)
    await archive_ranges.take_time(conn)
    for month in await archive_ranges.attached(conn):
        due = month.going or today - month.last_day > timedelta(days=limits.keep_archived)
        if due and not await does(month.name, partial(archive_ranges.detach, conn, month.name)):
            break
    for month in await archive_ranges.loose(conn):
        if await does(month.name, partial(archive_ranges.move, conn, month)):
            done.put_away.append(month.name)
    return done


async def _detach(conn: Connection, name: str) -> None:
    """Begun anew, or ended where it was begun: that is looked up each time."""
    for each in await storage.ranges(conn):
        if each.name == name:
            await storage.detach(conn, each)


async def _patiently(work: Work, seconds: float) -> bool:
    """Try until nobody is in the way, so that nobody is kept waiting meanwhile. False if somebody is all the time."""
    clock = asyncio.get_running_loop().time
    give_up_at = clock() + seconds
    while True:
        try:
            await work()
            return True
        except Exception as error:
            if not is_contention(error):
                raise
        if clock() >= give_up_at:
            return False
        await asyncio.sleep(_PAUSE_SECONDS)


def _until(name: str) -> date:
    """The day after the last of a month that was put away."""
    year, month = name.split("_")[-2:]
    return first_of_month(date(int(year), int(month), 1), 1)
