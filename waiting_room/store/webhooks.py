"""Webhook deliveries: made from events, claimed by senders, settled by what the endpoint answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("webhooks")


class Notice(NamedTuple):
    """A public event, as its endpoints are told it. ``payload`` is JSON."""

    clinic_id: str
    app_id: str
    seq: int
    booking_ref: str
    event: str
    payload: str
    committed_at: datetime


class Delivery(NamedTuple):
    """A claimed delivery. ``attempts``: how many have failed; ``age_seconds``: since the event, when claimed."""

    endpoint_id: str
    clinic_id: str
    seq: int
    booking_ref: str
    event: str
    payload: str
    attempts: int
    lease_until: datetime
    url: str
    secret: str
    age_seconds: float


class Settled(NamedTuple):
    """What became of a claimed delivery; ``again_in_seconds`` goes with ``due``."""

    endpoint_id: str
    clinic_id: str
    seq: int
    lease_until: datetime
    state: Literal["due", "delivered", "failed"]
    again_in_seconds: float | None
    status: int | None
    error: str | None


async def enlist(conn: Connection, notices: Sequence[Notice]) -> int:
    """Make the deliveries these events ask for, each once; how many are new."""
    done: str = await conn.execute(_SQL["enlist"], *zip(*notices, strict=True))
    return int(done.rpartition(" ")[2])


async def claim(
    conn: Connection, *, rooms: Mapping[str, int], room_of_others: int, limit: int, lease_seconds: float
) -> list[Delivery]:
    """Up to ``limit`` due deliveries, now leased. ``rooms``: how many each endpoint may get, others their default."""
    rows = await conn.fetch(_SQL["claim"], list(rooms), list(rooms.values()), room_of_others, limit, lease_seconds)
    return [Delivery(*row) for row in rows]


async def record(conn: Connection, settled: Sequence[Settled]) -> None:
    """Store outcomes. One whose lease has meanwhile gone to another counts only if it was delivered."""
    await conn.execute(_SQL["record"], *zip(*settled, strict=True))


async def hand_back(conn: Connection, deliveries: Sequence[Delivery]) -> None:
    """Let others have at once what this process will not deliver."""
    keys = [(each.endpoint_id, each.clinic_id, each.seq, each.lease_until) for each in deliveries]
    await conn.execute(_SQL["hand_back"], *zip(*keys, strict=True))


async def switch_off(conn: Connection, endpoint_ids: Sequence[str]) -> None:
    """Deliver nothing to these endpoints any more. Call it in a transaction."""
    await conn.execute(_SQL["switch_off"], endpoint_ids)
    await conn.execute(_SQL["give_up_on"], endpoint_ids)
