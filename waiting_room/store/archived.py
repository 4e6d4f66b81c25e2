"""What is read of bookings that are over and archived. Asked where the live tables have nothing: a look in the archive
costs a probe for each month that is attached, so nobody looks for what cannot be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from waiting_room.store import sql
from waiting_room.store.notifications import Told
from waiting_room.store.pool import Connection

_SQL = sql.load("archived")
YOUNGEST_DAYS = 8
"""Nothing is archived that was not over for so long: longer than ``booking.requests`` keeps commands."""


async def bookings(conn: Connection, refs: Sequence[str]) -> list[Any]:
    """Rows of those of these canonical refs that lead to an archived booking, as ``store.bookings`` reads live ones."""
    claimed = [row["ref"] for row in await conn.fetch(_SQL["claimed"], refs)]
    return await conn.fetch(_SQL["bookings"], claimed) if claimed else []


async def history(conn: Connection, clinic_id: str, booking_ref: str) -> list[str]:
    """The records of a booking's events, oldest first."""
    return [row["record"] for row in await conn.fetch(_SQL["history"], clinic_id, booking_ref)]


async def notifications(conn: Connection, clinic_id: str, booking_ref: str) -> list[Told]:
    """What its patient was told, as far as that was kept."""
    return [Told(*row) for row in await conn.fetch(_SQL["notifications"], clinic_id, booking_ref)]


async def of_patient(
    conn: Connection,
    app_id: str,
    patient_id: str,
    after: tuple[datetime, str] | None,
    limit: int,
    since: datetime | None,
) -> list[tuple[datetime, str]]:
    """(accepted_at, booking_ref), newest first, of this app's patient. ``since``: earlier ones are not wanted."""
    day: date | None = since.date() if since else None
    rows = await conn.fetch(_SQL["of_patient"], app_id, patient_id, *(after or (None, None)), limit, day)
    return [(row["position"], row["booking_ref"]) for row in rows]


async def of_day(
    conn: Connection, clinic_id: str, from_at: datetime, to_at: datetime, after: tuple[datetime, str] | None, limit: int
) -> list[tuple[datetime, str]]:
    """(start_at, booking_ref), earliest first, of the clinic's bookings that started in [from_at, to_at)."""
    rows = await conn.fetch(_SQL["of_day"], clinic_id, from_at, to_at, *(after or (None, None)), limit)
    return [(row["position"], row["booking_ref"]) for row in rows]
