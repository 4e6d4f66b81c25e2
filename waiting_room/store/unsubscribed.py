"""Which patients of which apps want no more messages by which channel."""

from __future__ import annotations

from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("unsubscribed")


async def add(conn: Connection, booking_ref: str, channel: str) -> bool:
    """For the patient of this booking; whether there is one."""
    return await conn.fetchval(_SQL["add"], booking_ref, channel) is not None


async def remove(conn: Connection, booking_ref: str, channel: str) -> bool:
    """Take it back; whether there is such a patient."""
    return await conn.fetchval(_SQL["remove"], booking_ref, channel) is not None
