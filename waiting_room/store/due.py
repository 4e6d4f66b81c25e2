"""What time makes due: bookings nobody works on, and holds that ran out."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from waiting_room.domain.appointment import ClinicState
from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("due")
Key = tuple[str, str]
"""(clinic_id, booking_ref)"""


class Unheard(NamedTuple):
    """A booking with work at its clinic that nobody does; noted as rung for."""

    clinic_id: str
    booking_ref: str
    revision: int
    ticket: int
    clinic_state: ClinicState
    partition: int
    held_at: datetime


async def ring(conn: Connection, *, ring_after_seconds: float, limit: int) -> list[Unheard]:
    """Up to ``limit`` bookings to ring for now. Each is returned again after ``ring_after_seconds`` at the earliest,
    or once a later attempt of it comes due. Run by two sweeps at the same moment, both may return it.
    """
    await conn.execute(_SQL["forget_rings"])
    rows = await conn.fetch(_SQL["ring"], ring_after_seconds, limit)
    return [Unheard(*row)._replace(clinic_state=ClinicState(row["clinic_state"])) for row in rows]


async def expired(conn: Connection, limit: int) -> list[Key]:
    """Pending bookings past their ``hold_until``, the longest first, that no call is known to have decided."""
    return [(row["clinic_id"], row["booking_ref"]) for row in await conn.fetch(_SQL["expired"], limit)]


async def absent(conn: Connection, limit: int) -> list[Key]:
    """Confirmed bookings whose patients have not arrived in their clinic's time, the longest ago first."""
    return [(row["clinic_id"], row["booking_ref"]) for row in await conn.fetch(_SQL["absent"], limit)]


async def over(conn: Connection, after_hours: int, limit: int) -> list[Key]:
    """Bookings that something is kept for although they ended so long ago, the longest ago first: nobody has said what
    became of them, and nobody is expected to.
    """
    return [(row["clinic_id"], row["booking_ref"]) for row in await conn.fetch(_SQL["over"], after_hours, limit)]


async def being_called(conn: Connection, keys: Collection[Key]) -> set[Key]:
    """Those of these bookings whose clinic is being called right now, by the leases."""
    rows = await conn.fetch(_SQL["being_called"], [clinic_id for clinic_id, _ in keys], [ref for _, ref in keys])
    return {(row["clinic_id"], row["booking_ref"]) for row in rows}
