"""Calendars that providers are subscribed to: put by their clinic, read by one sweep at a time.

The time for which a calendar is one reader's only saves reading it twice. What keeps the order is ``turn``: what was
read is stored if nobody has begun to read it since, and it is still the same address.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from waiting_room.domain.availability.fit import Busy, unfit
from waiting_room.domain.busy_feeds import SOURCE, Seen
from waiting_room.envelope import Envelope
from waiting_room.ics import Span
from waiting_room.store import calendars, sql
from waiting_room.store.pool import Connection

_SQL = sql.load("busy_feeds")


class State(NamedTuple):
    """How it stands. ``error``: of the last try, if that failed; ``failures`` in a row up to now."""

    host: str
    put_at: datetime
    read_at: datetime | None
    next_at: datetime
    failures: int
    error: str | None
    failed_at: datetime | None


class Due(NamedTuple):
    """One to be read. ``sealed``: its address. ``seen``: nothing, where it is to be read as a whole."""

    clinic_id: str
    provider_id: str
    timezone: str
    sealed: bytes
    host: str
    turn: int
    failures: int
    seen: Seen


class Stored(NamedTuple):
    """``busy``: how many times it has now. ``unfit``: bookings of the provider that do not fit its calendar, where that
    has ``changed``.
    """

    busy: int
    changed: bool
    unfit: int


def about(provider_id: str) -> str:
    """What an address is sealed for."""
    return f"busy feed {provider_id}"


async def put(conn: Connection, clinic_id: str, provider_id: str, sealed: bytes, host: str) -> None:
    """From now on the provider is busy when this calendar says so."""
    await conn.execute(_SQL["put"], provider_id, clinic_id, sealed, host)


async def find(conn: Connection, provider_id: str) -> State | None:
    row = await conn.fetchrow(_SQL["find"], provider_id)
    return None if row is None else State(*row)


async def delete(conn: Connection, clinic_id: str, provider_id: str) -> bool:
    """Whether there was one; what it said goes with it. The clinic has to be locked (``calendars.lock_clinic``)."""
    if await conn.fetchval(_SQL["delete"], provider_id) is None:
        return False
    await calendars.replace_busy(conn, clinic_id, provider_id, SOURCE, [])
    return True


async def claim(conn: Connection, limit: int, lease_seconds: float, whole_seconds: float) -> list[Due]:
    """Those that are this reader's for so long; as a whole where that was so long ago."""
    return [
        Due(
            row["clinic_id"],
            row["provider_id"],
            row["timezone"],
            row["sealed"],
            row["host"],
            row["turn"],
            row["failures"],
            Seen(row["etag"], row["last_modified"], row["digest"]) if row["is_fresh"] else Seen(),
        )
        for row in await conn.fetch(_SQL["claim"], limit, lease_seconds, whole_seconds)
    ]


async def unchanged(conn: Connection, due: Due, again_seconds: float) -> None:
    """It says what it said when it was last read as a whole."""
    await conn.execute(_SQL["unchanged"], due.provider_id, due.turn, again_seconds)


async def failed(conn: Connection, due: Due, error: str, again_seconds: float) -> None:
    """Nothing was learnt: what is known stands."""
    await conn.execute(_SQL["failed"], due.provider_id, due.turn, again_seconds, error)


async def store(conn: Connection, due: Due, spans: Iterable[Span], seen: Seen, again_seconds: float) -> Stored | None:
    """Take over all it says, inside the caller's transaction; None where that is another's to do by now. Where it says
    what is known nothing is written, and no copy of a calendar is read anew.
    """
    now = await calendars.lock_clinic(conn, due.clinic_id)
    if await conn.fetchval(_SQL["read"], due.provider_id, due.turn, again_seconds, *seen) is None:
        return None
    said = {
        each.busy_id: Busy(source=SOURCE, busy_id=each.busy_id, from_at=each.from_at, to_at=each.to_at)
        for each in spans
        if each.to_at > now
    }
    known = await calendars.busy(conn, due.provider_id, now)
    if {each.busy_id: each for each in known if each.source == SOURCE} == said:
        return Stored(len(said), changed=False, unfit=0)
    await calendars.replace_busy(conn, due.clinic_id, due.provider_id, SOURCE, list(said.values()))
    return Stored(len(said), changed=True, unfit=await _unfit(conn, due, now))


async def _unfit(conn: Connection, due: Due, now: datetime) -> int:
    provider = await calendars.provider(conn, due.clinic_id, due.provider_id)
    if provider is None:
        return 0
    booked = await calendars.booked(conn, due.clinic_id, due.provider_id, now)
    busy = await calendars.busy(conn, due.provider_id, now)
    return sum(1 for _ in unfit(provider, due.timezone, booked, busy))


async def reseal(conn: Connection, envelope: Envelope) -> int:
    """Seal all addresses under the current master key; how many were not. Raises CannotOpen."""
    done = 0
    for row in await conn.fetch(_SQL["all"]):
        renewed = envelope.renewed(row["sealed"], about(row["provider_id"]))
        if renewed is not None:
            await conn.execute(_SQL["reseal"], row["provider_id"], renewed, row["sealed"])
            done += 1
    return done
