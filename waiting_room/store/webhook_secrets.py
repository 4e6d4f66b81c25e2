"""Signing keys of webhook endpoints, sealed. One is current; those it replaced sign until they expire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from waiting_room.envelope import Envelope
from waiting_room.store import sql
from waiting_room.store.pool import Connection
from waiting_room.webhook_signing import Sealed, about

_SQL = sql.load("webhook_secrets")


class NewSecret(NamedTuple):
    """``secret_id`` names it within its endpoint."""

    endpoint_id: str
    secret_id: str
    sealed: bytes
    public_key: str


async def current(conn: Connection, endpoint_ids: Sequence[str]) -> dict[str, Sealed]:
    """By endpoint; those that have none are left out."""
    rows = await conn.fetch(_SQL["current"], endpoint_ids)
    return {row["endpoint_id"]: Sealed(row["sealed"], row["public_key"]) for row in rows}


async def replace(conn: Connection, new: Sequence[NewSecret], overlap_seconds: float) -> None:
    """Make these the current ones, inside the caller's transaction; the ones before sign for so much longer."""
    if new:
        await conn.execute(_SQL["expire"], [each.endpoint_id for each in new], overlap_seconds)
        await conn.execute(_SQL["add"], *zip(*new, strict=True))


async def find(conn: Connection, endpoint_id: str, secret_id: str) -> Sealed | None:
    """Whether it expired or not."""
    row = await conn.fetchrow(_SQL["found"], endpoint_id, secret_id)
    return None if row is None else Sealed(row["sealed"], row["public_key"])


async def signing(conn: Connection, endpoint_id: str) -> int:
    """How many sign for it now."""
    count: int = await conn.fetchval(_SQL["signing"], endpoint_id)
    return count


async def reseal(conn: Connection, envelope: Envelope) -> int:
    """Seal all that still sign under the current master key; how many were not. Raises CannotOpen."""
    done = 0
    for row in await conn.fetch(_SQL["all"]):
        renewed = envelope.renewed(row["sealed"], about(row["endpoint_id"]))
        if renewed is not None:
            await conn.execute(_SQL["reseal"], row["endpoint_id"], row["secret_id"], renewed, row["sealed"])
            done += 1
    return done
