"""API keys in PostgreSQL: made, revoked, listed. Each change is published through the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from waiting_room.access import OwnerKind, Scope, Token, hash_of, make_token
from waiting_room.messages import AccessKey
from waiting_room.store import directory_outbox, sql
from waiting_room.store.pool import Connection

_SQL = sql.load("access_keys")
_encode = msgspec.json.Encoder().encode


class UnknownOwner(Exception):
    """No such app or clinic; one line each."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to make. An operator's ``owner_id`` is a name for the record; nothing else knows it."""

    owner_kind: OwnerKind
    owner_id: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredKey:
    key: AccessKey
    created_at: datetime


async def lock(conn: Connection) -> None:
    """Keep others from making or revoking keys until the caller's transaction ends."""
    await conn.execute(_SQL["lock_keys"])


async def create_keys(conn: Connection, wanted: Sequence[NewKey]) -> list[tuple[Token, AccessKey]]:
    """Make these keys, inside the caller's transaction, in their order. The tokens exist nowhere else.

    Raises UnknownOwner.
    """
    rows = await conn.fetch(
        _SQL["unknown_owners"], [each.owner_kind for each in wanted], [each.owner_id for each in wanted]
    )
    if rows:
        raise UnknownOwner("\n".join(f"unknown {row['owner_kind']} {row['owner_id']!r}" for row in rows))
    made = [(token, _key(token, each)) for each in wanted for token in [make_token()]]
    keys = [key for _, key in made]
    await conn.execute(_SQL["insert_keys"], _encode([_row(key) for key in keys]).decode())
    await directory_outbox.append(conn, keys)
    return made


async def revoke_key(conn: Connection, key_id: str) -> AccessKey | None:
    """Revoke it, inside the caller's transaction; None if there is none. Revoking twice changes nothing."""
    row = await conn.fetchrow(_SQL["revoke_key"], key_id)
    if row is None:
        return None
    key = _stored(row).key
    await directory_outbox.append(conn, [key])
    return key


async def load_keys(conn: Connection) -> list[StoredKey]:
    """Every key, revoked and expired ones too, in order of creation."""
    return [_stored(row) for row in await conn.fetch(_SQL["load_keys"])]


def _key(token: Token, wanted: NewKey) -> AccessKey:
    return AccessKey(
        key_id=token.key_id,
        owner_kind=wanted.owner_kind,
        owner_id=wanted.owner_id,
        secret_hash=hash_of(token.secret),
        scopes=wanted.scopes,
        expires_at=wanted.expires_at,
    )


def _row(key: AccessKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "owner_kind": key.owner_kind,
        "owner_id": key.owner_id,
        "secret_hash": key.secret_hash.hex(),
        "scopes": key.scopes,
        "expires_at": key.expires_at,
    }


def _stored(row: Any) -> StoredKey:
    fields = dict(row)
    created_at = fields.pop("created_at")
    return StoredKey(AccessKey(**{**fields, "scopes": tuple(fields["scopes"])}), created_at)
