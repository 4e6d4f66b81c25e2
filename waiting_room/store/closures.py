"""That a clinic has closed, and the deliveries that tell of it: all in the transaction that blocks the time. And who is
booked then all the same.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from waiting_room.store import sql
from waiting_room.store.pool import Connection
from waiting_room.webhook_events import Closed, ClosurePayload, payload_of_closure

_SQL = sql.load("closures")
_decode = msgspec.json.Decoder(ClosurePayload).decode


async def record(conn: Connection, closed: Closed, at: datetime) -> None:
    """With the clinic's lock (``calendars.lock``). A closure that is there already is not told again."""
    row = await conn.fetchrow(_SQL["next"], closed.clinic_id, closed.closure_id)
    assert row is not None
    if row["known"]:
        return
    payload = payload_of_closure(closed, row["sequence"], at)
    number = await conn.fetchval(_SQL["add"], closed.clinic_id, closed.closure_id, row["sequence"], at, payload)
    await conn.execute(_SQL["tell"], number)


async def recorded(conn: Connection, clinic_id: str, closure_id: str) -> Closed | None:
    """As it was recorded, if it was."""
    payload: str | None = await conn.fetchval(_SQL["told"], clinic_id, closure_id)
    if payload is None:
        return None
    data = _decode(payload).data
    return Closed(**{name: getattr(data, name) for name in Closed._fields})


class StillBooked(NamedTuple):
    """Somebody is booked with this provider in [from_at, to_at), for which it was closed."""

    clinic_id: str
    closure_id: str
    provider_id: str
    from_at: datetime
    to_at: datetime
    partition: int


async def still_booked(conn: Connection, after_seconds: float) -> list[StillBooked]:
    """Where hold is to be asked once more to move them. Each closure once in so many seconds, whoever looks."""
    return [StillBooked(*row) for row in await conn.fetch(_SQL["still_booked"], after_seconds)]
