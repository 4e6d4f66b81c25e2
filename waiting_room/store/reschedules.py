"""Wishes to move a booking: what was asked for. What comes of them is written with the booking, by its Journal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from waiting_room.domain.appointment import By, Reason
from waiting_room.store import sql
from waiting_room.store.journal import Booking, Wish
from waiting_room.store.pool import Connection

_SQL = sql.load("reschedules")


@dataclass(slots=True)
class Asked:
    """Of one booking so far. Revisions are never used twice: a clinic remembers them."""

    newest_revision: int = 0
    key_hashes: set[bytes] = field(default_factory=set)


class Row(NamedTuple):
    """A row of ``reschedules``."""

    clinic_id: str
    booking_ref: str
    revision: int
    key_hash: bytes
    provider_id: str | None
    seat: int | None
    start_at: datetime | None
    end_at: datetime | None
    requested_at: datetime
    move_until: datetime | None
    ended_at: datetime | None
    outcome: str | None
    reason: Reason | None
    by: By
    must_move: bool
    for_want_of: str | None = None
    """The product whose shortage is why."""

    @classmethod
    def held(cls, booking: Booking, wish: Wish, key_hash: bytes, now: datetime, for_want_of: str | None) -> Row:
        """Its seat is claimed; it is open until the journal ends it."""
        asked = (*booking.key, wish.revision, key_hash)
        where = (wish.provider_id, wish.seat, wish.start_at, wish.end_at)
        return cls(*asked, *where, now, wish.move_until, None, None, None, wish.by, wish.must_move, for_want_of)

    @classmethod
    def refused(cls, booking: Booking, revision: int, key_hash: bytes, now: datetime, reason: Reason, by: By) -> Row:
        """Nothing is held for it."""
        asked = (*booking.key, revision, key_hash)
        return cls(*asked, None, None, None, None, now, None, now, "refused", reason, by, must_move=False)


async def asked(conn: Connection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Asked]:
    """What was asked for these (clinic_id, booking_ref) before, where anything was."""
    rows = await conn.fetch(_SQL["asked"], [clinic for clinic, _ in keys], [ref for _, ref in keys])
    return {
        (row["clinic_id"], row["booking_ref"]): Asked(row["newest_revision"], set(row["key_hashes"])) for row in rows
    }


async def booked_in(
    conn: Connection, clinic_id: str, provider_ids: Sequence[str], from_at: datetime, to_at: datetime, limit: int
) -> list[tuple[str, str]]:
    """(clinic_id, booking_ref) of up to ``limit`` bookings that reach into this time and are not being moved yet, in
    the order in which they were made.
    """
    rows = await conn.fetch(_SQL["booked_in"], clinic_id, provider_ids, from_at, to_at, limit)
    return [(clinic_id, row["booking_ref"]) for row in rows]


async def add(conn: Connection, rows: Sequence[Row]) -> None:
    """Store what is asked for now. Raises asyncpg.UniqueViolationError for a second open wish of one booking."""
    await conn.copy_records_to_table("reschedules", columns=Row._fields, records=rows)
