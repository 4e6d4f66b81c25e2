"""That a clinic has closed, and the deliveries that tell of it: all in the transaction that blocks the time."""

from __future__ import annotations

from datetime import datetime

from waiting_room.store import sql
from waiting_room.store.pool import Connection
from waiting_room.webhook_events import Closed, payload_of_closure

_SQL = sql.load("closures")


async def record(conn: Connection, closed: Closed, at: datetime) -> None:
    """With the clinic's lock (``calendars.lock``). A closure that is there already is not told again."""
    row = await conn.fetchrow(_SQL["next"], closed.clinic_id, closed.closure_id)
    assert row is not None
    if row["known"]:
        return
    payload = payload_of_closure(closed, row["sequence"], at)
    number = await conn.fetchval(_SQL["add"], closed.clinic_id, closed.closure_id, row["sequence"], at, payload)
    await conn.execute(_SQL["tell"], number)
