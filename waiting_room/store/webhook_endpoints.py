"""Webhook endpoints and their deliveries, as their owners and operators see and change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from waiting_room.domain.appointment import PUBLIC_EVENTS
from waiting_room.domain.delivery import DeliveryState, DisabledReason, FailedWhy
from waiting_room.store import sql
from waiting_room.store.pool import Connection
from waiting_room.webhook_events import PayloadKind, payload_of_test, render

_SQL = sql.load("webhook_endpoints")
_PUBLIC = sorted(map(str, PUBLIC_EVENTS))
REPLAY_MAX = 5_000
"""Deliveries that one replay of a stretch of time makes due at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """``body_hash`` is of the request that made it; None where a file did."""

    endpoint_id: str
    owner_kind: str
    owner_id: str
    url: str
    events: tuple[str, ...]
    payload: PayloadKind
    active: bool
    body_hash: bytes | None
    created_at: datetime
    verified_at: datetime | None
    told_from: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None
    public_keys: tuple[str, ...]


class NewEndpoint(NamedTuple):
    endpoint_id: str
    owner_kind: str
    owner_id: str
    url: str
    events: tuple[str, ...]
    payload: PayloadKind
    body_hash: bytes


class Position(NamedTuple):
    """Where a page of deliveries ends."""

    committed_at: datetime
    clinic_id: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """``next_attempt_at`` says something while it is due."""

    clinic_id: str
    seq: int
    booking_ref: str | None
    event: str
    state: DeliveryState
    failed_why: FailedWhy | None
    attempts: int
    replays: int
    next_attempt_at: datetime
    committed_at: datetime
    delivered_at: datetime | None
    last_status: int | None
    last_error: str | None

    @property
    def position(self) -> Position:
        return Position(self.committed_at, self.clinic_id, self.seq)


class AttemptRow(NamedTuple):
    """``response``: how the answer's body began."""

    started_at: datetime
    seconds: float
    url: str
    status: int | None
    error: str | None
    response: str | None


class Overview(NamedTuple):
    endpoint_id: str
    owner_kind: str
    owner_id: str
    url: str
    active: bool
    verified_at: datetime | None
    failing_since: datetime | None
    disabled_reason: str | None
    due: int
    failed: int


async def lock_owner(conn: Connection, owner_kind: str, owner_id: str) -> None:
    """Keep others from making endpoints for this owner until the caller's transaction ends."""
    await conn.execute(_SQL["lock_owner"], owner_kind, owner_id)


async def create(conn: Connection, new: NewEndpoint) -> None:
    """It is sent a test and nothing else until it has answered one."""
    await conn.execute(_SQL["create"], *new)


async def find(conn: Connection, endpoint_id: str) -> EndpointRow | None:
    rows = await conn.fetch(_SQL["endpoints"], endpoint_id, None, None)
    return _endpoint(rows[0]) if rows else None


async def of_owner(conn: Connection, owner_kind: str, owner_id: str) -> list[EndpointRow]:
    """In the order in which they were made."""
    return [_endpoint(row) for row in await conn.fetch(_SQL["endpoints"], None, owner_kind, owner_id)]


async def overview(conn: Connection) -> list[Overview]:
    return [Overview(*row) for row in await conn.fetch(_SQL["overview"])]


async def disable(conn: Connection, endpoint_id: str, reason: DisabledReason) -> None:
    """What waits for it will have failed soon. Disabling twice changes nothing."""
    await conn.execute(_SQL["disable"], endpoint_id, reason)


async def enable(conn: Connection, endpoint_id: str) -> None:
    """From now on; what happened meanwhile can be replayed. Enabling twice changes nothing."""
    await conn.execute(_SQL["enable"], endpoint_id)


async def add_test(conn: Connection, endpoint_id: str, at: datetime) -> tuple[str, int]:
    """Have it sent a test event; (clinic_id, seq) of the delivery."""
    row = await conn.fetchrow(_SQL["add_test"], endpoint_id, payload_of_test(endpoint_id, at))
    assert row is not None
    return row["clinic_id"], row["seq"]


async def deliveries(
    conn: Connection, endpoint_id: str, state: DeliveryState | None, after: Position | None, limit: int
) -> list[DeliveryRow]:
    """At most ``limit``, newest event first."""
    rows = await conn.fetch(_SQL["deliveries"], endpoint_id, state, *(after or (None, None, None)), limit)
    return [_delivery(row) for row in rows]


async def delivery(conn: Connection, endpoint_id: str, clinic_id: str, seq: int) -> DeliveryRow | None:
    row = await conn.fetchrow(_SQL["delivery"], endpoint_id, clinic_id, seq)
    return None if row is None else _delivery(row)


async def is_archived(conn: Connection, endpoint_id: str, clinic_id: str, seq: int) -> bool:
    """Whether a delivery that is not there may have been: the event's booking is archived, its deliveries are gone."""
    archived: bool = await conn.fetchval(_SQL["is_archived"], endpoint_id, clinic_id, seq)
    return archived


async def archived_between(
    conn: Connection, endpoint_id: str, since: datetime, until: datetime, after_days: int
) -> bool:
    """Whether events of [since, until) that it asked for may stand in the archive, from where nothing is replayed.
    ``after_days``: how long a booking is over before it is archived.
    """
    archived: bool = await conn.fetchval(_SQL["archived_between"], endpoint_id, since, until, after_days)
    return archived


async def body(conn: Connection, endpoint_id: str, clinic_id: str, seq: int) -> str | None:
    """What it says, thin: whoever reads it here has no need for the patient. Raises Unreadable."""
    row = await conn.fetchrow(_SQL["content"], endpoint_id, clinic_id, seq, _PUBLIC)
    if row is None or (row["payload"] is None and row["record"] is None):
        return None
    told: str | None = row["payload"]
    return render(row["record"], row["sequence"], PayloadKind.THIN) if told is None else told


async def attempts(conn: Connection, endpoint_id: str, clinic_id: str, seq: int) -> list[AttemptRow]:
    """Oldest first."""
    return [AttemptRow(*row) for row in await conn.fetch(_SQL["attempts"], endpoint_id, clinic_id, seq)]


async def replay(conn: Connection, endpoint_id: str, deliveries: Sequence[tuple[str, int]]) -> int:
    """Make these, by (clinic_id, seq), due again; how many there are."""
    done = [await conn.execute(_SQL["replay"], endpoint_id, *each) for each in deliveries]
    return sum(int(each.rpartition(" ")[2]) for each in done)


async def replay_between(
    conn: Connection, endpoint_id: str, since: datetime, until: datetime, *, only_failed: bool = False
) -> tuple[int, datetime | None]:
    """Make due what was committed in [since, until) and it asks for. How many, and when the last of them was committed
    if there are more: go on from there.
    """
    row = await conn.fetchrow(_SQL["replay_between"], endpoint_id, since, until, REPLAY_MAX, only_failed)
    assert row is not None
    return row["replayed"], row["last_at"] if row["replayed"] == REPLAY_MAX else None


def _endpoint(row: asyncpg.Record) -> EndpointRow:
    reason = row["disabled_reason"]
    return EndpointRow(
        **{
            **row,
            "events": tuple(row["events"]),
            "payload": PayloadKind(row["payload"]),
            "disabled_reason": DisabledReason(reason) if reason else None,
            "public_keys": tuple(row["public_keys"]),
        }
    )


def _delivery(row: asyncpg.Record) -> DeliveryRow:
    why = row["failed_why"]
    return DeliveryRow(**{**row, "state": DeliveryState(row["state"]), "failed_why": FailedWhy(why) if why else None})
