"""Which of a booking's passes still hold: those of its generation."""

from __future__ import annotations

from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("passes")


async def generation(conn: Connection, clinic_id: str, booking_ref: str) -> int | None:
    """Of this booking's passes; None if there is no such booking."""
    found: int | None = await conn.fetchval(_SQL["generation"], clinic_id, booking_ref)
    return found


async def revoke(conn: Connection, clinic_id: str, booking_ref: str) -> int | None:
    """From now on none made so far holds. The new generation; None if there is no such booking."""
    found: int | None = await conn.fetchval(_SQL["revoke"], clinic_id, booking_ref)
    return found
