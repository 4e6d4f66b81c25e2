"""Who waits for a seat, and the seats that were offered: one function a statement. What to do is ``offering``'s."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from waiting_room.domain.waitlist import Ended, Waiter
from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("waitlist")
Key = tuple[str, str]
"""(clinic_id, booking_ref)"""
Group = tuple[str, str]
"""(clinic_id, group_id)"""


class NewWaiter(NamedTuple):
    """A row of ``waitlist``."""

    clinic_id: str
    booking_ref: str
    service_type: str
    provider_id: str | None
    from_at: datetime
    to_at: datetime
    waits: bool


class NewOffer(NamedTuple):
    """A row of ``offers``."""

    offer_id: str
    clinic_id: str
    booking_ref: str
    revision: int
    group_id: str
    to_all: bool
    provider_id: str
    seat: int
    start_at: datetime
    end_at: datetime
    busy_until: datetime
    made_at: datetime
    expires_at: datetime


class Offer(NamedTuple):
    """``outcome`` None: it is open, which says nothing of the time."""

    offer_id: str
    clinic_id: str
    booking_ref: str
    group_id: str
    to_all: bool
    provider_id: str
    seat: int
    start_at: datetime
    end_at: datetime
    busy_until: datetime
    expires_at: datetime
    outcome: Ended | None

    @property
    def key(self) -> Key:
        return self.clinic_id, self.booking_ref


class Waiting(NamedTuple):
    """Somebody who waits, and the times that they did not take."""

    waiter: Waiter
    refused: frozenset[tuple[str, datetime]]


class WaitedFor(NamedTuple):
    """A clinic, its bookings that wait for a seat, and those of them that were offered one and have not answered."""

    clinic_id: str
    waiting: int
    asked: int


async def add(conn: Connection, waiters: Sequence[NewWaiter]) -> None:
    """What they wait for; their bookings are written."""
    await conn.copy_records_to_table("waitlist", columns=NewWaiter._fields, records=waiters)


async def leave(conn: Connection, keys: Collection[Key]) -> None:
    """Those who wait no more, whatever came of it."""
    await conn.execute(_SQL["leave"], *zip(*keys, strict=True))


async def waiting(
    conn: Connection,
    clinic_id: str,
    after_ticket: int,
    reach: tuple[datetime, datetime],
    provider_ids: Collection[str],
    limit: int,
    only: Sequence[str] | None = None,
) -> list[Waiting]:
    """Up to ``limit`` (of ``only`` these) who wait for a start within ``reach`` at these providers, by ticket."""
    rows = await conn.fetch(_SQL["waiting"], clinic_id, after_ticket, *reach, list(provider_ids), limit, only)
    return [
        Waiting(
            Waiter(*tuple(row)[:6]),
            frozenset(zip(row["refused_providers"] or (), row["refused_starts"] or (), strict=True)),
        )
        for row in rows
    ]


async def add_offers(conn: Connection, offers: Sequence[NewOffer]) -> None:
    """Raises asyncpg.UniqueViolationError for a second open offer of one booking."""
    await conn.copy_records_to_table("offers", columns=NewOffer._fields, records=offers)


async def end_offers(conn: Connection, ended: Sequence[tuple[str, str, Ended]], now: datetime) -> set[Group]:
    """(clinic_id, booking_ref, what came of it) of open offers. The groups of those that others may have, too."""
    rows = await conn.fetch(_SQL["end_offers"], *zip(*ended, strict=True), now)
    return {(row["clinic_id"], row["group_id"]) for row in rows if row["to_all"]}


async def offer(conn: Connection, offer_id: str) -> Offer | None:
    row = await conn.fetchrow(_SQL["offer"], offer_id)
    return None if row is None else _offer(tuple(row))


async def open_in_groups(conn: Connection, groups: Iterable[Group]) -> list[Offer]:
    """Offers that are open, by group, those who asked first before the others."""
    rows = await conn.fetch(_SQL["open_in_groups"], *zip(*groups, strict=True))
    return [_offer(tuple(row)) for row in rows]


async def expired(conn: Connection, limit: int) -> list[Key]:
    """Bookings with an offer that was not answered in time, the longest first."""
    return [(row["clinic_id"], row["booking_ref"]) for row in await conn.fetch(_SQL["expired"], limit)]


async def still_expired(conn: Connection, keys: Collection[Key], now: datetime) -> list[Key]:
    """Those of these that have one at ``now``, with their clinics locked."""
    rows = await conn.fetch(_SQL["still_expired"], *zip(*keys, strict=True), now)
    return [(row["clinic_id"], row["booking_ref"]) for row in rows]


async def over(conn: Connection, limit: int) -> list[Key]:
    """Bookings that wait for a time that has passed."""
    return [(row["clinic_id"], row["booking_ref"]) for row in await conn.fetch(_SQL["over"], limit)]


async def unoffered(conn: Connection, clinic_id: str, limit: int, only: Sequence[str] | None = None) -> list[Key]:
    """Bookings (of ``only`` these) that wait there for what nobody offers whom they would go to, by ticket."""
    rows = await conn.fetch(_SQL["unoffered"], clinic_id, limit, only)
    return [(row["clinic_id"], row["booking_ref"]) for row in rows]


async def clinics_waited_for(conn: Connection) -> list[WaitedFor]:
    """Clinics at which anybody waits."""
    return [WaitedFor(*row) for row in await conn.fetch(_SQL["clinics_waited_for"])]


async def offered_in(
    conn: Connection, clinic_id: str, provider_ids: Sequence[str], from_at: datetime, to_at: datetime
) -> list[Key]:
    """Bookings that are offered a seat at one of these providers in this time."""
    rows = await conn.fetch(_SQL["offered_in"], clinic_id, provider_ids, from_at, to_at)
    return [(row["clinic_id"], row["booking_ref"]) for row in rows]


def _offer(row: tuple[object, ...]) -> Offer:
    found = Offer(*row)  # type: ignore[arg-type]
    return found._replace(outcome=Ended(found.outcome) if found.outcome else None)
