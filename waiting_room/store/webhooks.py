"""Webhook deliveries: made from events, claimed by senders, settled by what the endpoint answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from waiting_room.domain.appointment import PUBLIC_EVENTS
from waiting_room.domain.delivery import DeliveryState, DisabledReason, FailedWhy
from waiting_room.store import sql
from waiting_room.store.pool import Connection
from waiting_room.webhook_events import payload_of_disabled

_SQL = sql.load("webhooks")
_PUBLIC = sorted(map(str, PUBLIC_EVENTS))
GIVE_UP_AT_ONCE = 2_000


class Notice(NamedTuple):
    """A public event that was read; the rest of it is in the database."""

    clinic_id: str
    seq: int


class Delivery(NamedTuple):
    """A claimed delivery. ``attempts``: how many have failed; ``age_seconds``: since the event, when claimed.

    ``record`` is the event as it was published; ``payload`` stands in its place where there is none. ``sequence``:
    which of the booking's public events it is. ``patient``, sealed, and its key, wrapped, only where the endpoint gets
    them (``in_full``). ``failing``: the endpoint has failed since it last said yes. ``sealed``: its signing keys, the
    newest first.
    """

    endpoint_id: str
    clinic_id: str
    seq: int
    booking_ref: str | None
    event: str
    attempts: int
    lease_until: datetime
    url: str
    in_full: bool
    failing: bool
    payload: str | None
    age_seconds: float
    record: str | None
    patient: bytes | None
    patient_key: bytes | None
    sequence: int
    sealed: tuple[bytes, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left that it could tell: its booking was archived while somebody had it sent again."""
        return self.record is None and self.payload is None


class Settled(NamedTuple):
    """What became of a claimed delivery; ``again_in_seconds`` goes with ``due``, ``failed_why`` with ``failed``.

    ``spent``: attempts it has cost, 0 where none was made; ``seconds``: how long that took; ``response``: how the
    answer's body began.
    """

    endpoint_id: str
    clinic_id: str
    seq: int
    lease_until: datetime
    state: DeliveryState
    failed_why: FailedWhy | None
    again_in_seconds: float | None
    spent: int
    started_at: datetime
    seconds: float
    url: str
    status: int | None
    error: str | None
    response: str | None


async def enlist(conn: Connection, notices: Sequence[Notice]) -> int:
    """Make the deliveries these events ask for, each once; how many are new."""
    done: str = await conn.execute(_SQL["enlist"], *zip(*notices, strict=True))
    return _count(done)


async def claim(
    conn: Connection, *, rooms: Mapping[str, int], room_of_others: int, limit: int, lease_seconds: float
) -> list[Delivery]:
    """Up to ``limit`` due deliveries, now leased. ``rooms``: how many each endpoint may get, others their default."""
    rows = await conn.fetch(
        _SQL["claim"], list(rooms), list(rooms.values()), room_of_others, limit, lease_seconds, _PUBLIC
    )
    return [Delivery(*row)._replace(sealed=tuple(row["sealed"])) for row in rows]


async def record(conn: Connection, settled: Sequence[Settled]) -> None:
    """Store outcomes. One whose lease has meanwhile gone to another counts only if it was delivered."""
    await conn.execute(_SQL["record"], *zip(*settled, strict=True))


async def hand_back(conn: Connection, deliveries: Sequence[Delivery]) -> None:
    """Let others have at once what this process will not deliver."""
    keys = [(each.endpoint_id, each.clinic_id, each.seq, each.lease_until) for each in deliveries]
    await conn.execute(_SQL["hand_back"], *zip(*keys, strict=True))


async def verify(conn: Connection, endpoint_ids: Sequence[str]) -> None:
    """They have answered a test event: from now on they are sent what waits for them."""
    await conn.execute(_SQL["verify"], endpoint_ids)


async def do_well(conn: Connection, endpoint_ids: Sequence[str]) -> None:
    """They have said yes again."""
    await conn.execute(_SQL["do_well"], endpoint_ids)


async def do_fail(conn: Connection, endpoint_ids: Sequence[str]) -> None:
    """They have begun to fail."""
    await conn.execute(_SQL["do_fail"], endpoint_ids)


async def switch_off_gone(conn: Connection, endpoint_ids: Sequence[str], now: datetime) -> list[str]:
    """These are gone for good; which of them were on. Their owners' other endpoints are told. In a transaction."""
    return await _off(conn, await conn.fetch(_SQL["switch_off_gone"], endpoint_ids), DisabledReason.GONE, now)


async def switch_off_failing(
    conn: Connection, endpoint_ids: Sequence[str], after_seconds: float, now: datetime
) -> list[str]:
    """Those of these that have done nothing but fail for so long; which. As above."""
    rows = await conn.fetch(_SQL["switch_off_failing"], endpoint_ids, after_seconds)
    return await _off(conn, rows, DisabledReason.FAILING, now)


async def switch_off_silent(conn: Connection, after_seconds: float, now: datetime) -> list[str]:
    """Those that have answered no test for so long; which. As above."""
    return await _off(conn, await conn.fetch(_SQL["switch_off_silent"], after_seconds), DisabledReason.FAILING, now)


async def give_up(conn: Connection) -> int:
    """What waits for endpoints that are switched off has failed: up to GIVE_UP_AT_ONCE of it; how many."""
    done: str = await conn.execute(_SQL["give_up"], GIVE_UP_AT_ONCE)
    return _count(done)


async def _off(conn: Connection, rows: Sequence[asyncpg.Record], why: DisabledReason, now: datetime) -> list[str]:
    off = [row["endpoint_id"] for row in rows]
    for endpoint_id in off:
        await conn.execute(_SQL["tell_others"], endpoint_id, payload_of_disabled(endpoint_id, why, now))
    return off


def _count(done: str) -> int:
    return int(done.rpartition(" ")[2])
