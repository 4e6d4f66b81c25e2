"""Changes of clinics and API keys, stored with the change itself; relay publishes them."""

from __future__ import annotations

from collections.abc import Sequence

from waiting_room import messages
from waiting_room.announcements import Announcement, address_of
from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("directory_outbox")


async def append(conn: Connection, records: Sequence[Announcement]) -> None:
    """Have these published once the caller's transaction commits; they replace what waits under the same keys."""
    if not records:
        return
    topics, keys = zip(*map(address_of, records), strict=True)
    await conn.execute(_SQL["supersede"], topics, keys)
    await conn.execute(_SQL["append"], topics, keys, [messages.encode(record).decode() for record in records])
