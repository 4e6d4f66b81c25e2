"""Takes bookings that are over out of the tables that are written all day: each is one document from then on.

Two clinics' bookings are never taken in one transaction, so that a clinic's lock is held for its own batch only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from waiting_room.store import sql
from waiting_room.store.journal import Journal
from waiting_room.store.pool import Connection

_SQL = sql.load("archiving")
_LEAVE = tuple(name for name in _SQL if name.startswith("leave_"))
"""In the order of the file: what refers to a row goes before it."""
_OF_APPS = frozenset({"leave_attempts", "leave_deliveries"})
INTERVAL_MAX_DAYS = 730
"""No service asks for what a patient had longer ago (``service_types.interval_days``)."""


class Candidate(NamedTuple):
    """``at``: when it began, or was decided where it was never given a time."""

    booking_ref: str
    at: datetime

    @property
    def month(self) -> date:
        """The range it goes to."""
        return self.at.astimezone(UTC).date().replace(day=1)


async def clinics(conn: Connection) -> list[str]:
    """All, closed ones too."""
    return [row["clinic_id"] for row in await conn.fetch(_SQL["clinics"])]


async def before(conn: Connection, days: int) -> datetime:
    """So many days ago, by the database's clock."""
    at: datetime = await conn.fetchval(_SQL["before"], days)
    return at


async def placed(
    conn: Connection, clinic_id: str, before: datetime, after: Candidate | None, limit: int
) -> list[Candidate]:
    """The clinic's bookings that began before, over or not, the earliest first; at most ``limit`` from ``after`` on."""
    ref, at = after or (None, None)
    return [Candidate(*row) for row in await conn.fetch(_SQL["placed"], clinic_id, before, at, ref, limit)]


async def unplaced(
    conn: Connection, clinic_id: str, before: datetime, after: Candidate | None, limit: int
) -> list[Candidate]:
    """The same of those that were never given a time, by their refs."""
    ref = after.booking_ref if after else ""
    return [Candidate(*row) for row in await conn.fetch(_SQL["unplaced"], clinic_id, before, ref, limit)]


async def make_range(conn: Connection, month: date) -> bool:
    """Make the range of this month where there is none. Whether anything can be archived there: it is not detached."""
    attached: bool = await conn.fetchval(_SQL["make_range"], month)
    return attached


async def archive(conn: Connection, clinic_id: str, refs: Sequence[str], before: datetime) -> list[str]:
    """Inside the caller's transaction, with the clinic's lock: those of these bookings that were over before, and for
    which nothing is left to do, are in the archive and nowhere else. Their refs.

    Raises asyncpg.LockNotAvailableError, and asyncpg.CheckViolationError where a day has no range.
    """
    await Journal.open(conn, [clinic_id])
    copied = await conn.fetch(_SQL["copy"], clinic_id, refs, before)
    gone = [row["booking_ref"] for row in copied]
    if gone:
        await conn.execute(_SQL["remember"], clinic_id, gone)
        apps = sorted({row["app_id"] for row in copied})
        for name in _LEAVE:
            await conn.execute(_SQL[name], clinic_id, gone, *([apps] if name in _OF_APPS else ()))
    return gone


async def forget_claims(conn: Connection, limit: int) -> int:
    """Forget what patients have had that no interval asks for any more; of how many bookings."""
    done: str = await conn.execute(_SQL["forget_claims"], INTERVAL_MAX_DAYS, limit)
    return int(done.rpartition(" ")[2])


async def late_seconds(conn: Connection, before: datetime) -> float:
    """How long ago the oldest booking could have been archived that was over ``before``; 0 if there is none."""
    late: float = await conn.fetchval(_SQL["late"], before)
    return late
