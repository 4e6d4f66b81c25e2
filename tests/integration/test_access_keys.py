"""API keys in a real database: made in bulk, announced with the change, revoked for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.database import Database
from tests.support.onboarding import clinic, file_of
from waiting_room.access import SCOPES_OF, OwnerKind, opens
from waiting_room.messages import AccessKey, Reader
from waiting_room.store import access_keys, directory
from waiting_room.store.access_keys import NewKey, UnknownOwner
from waiting_room.store.pool import Connection

NOW = datetime.now(UTC).replace(microsecond=123)
read_key: Reader[AccessKey] = Reader(AccessKey)


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    """With one clinic, 0001, and one app, app."""
    async with database.owner() as connection:
        async with connection.transaction():
            await directory.import_file(connection, file_of([clinic(1)]), 4)
        await connection.execute("DELETE FROM directory_outbox")
        yield connection


def wanted(kind: OwnerKind, owner_id: str) -> NewKey:
    return NewKey(kind, owner_id, SCOPES_OF[kind], NOW + timedelta(days=1))


async def announced(owner: Connection) -> list[AccessKey]:
    rows = await owner.fetch("SELECT record FROM directory_outbox WHERE topic = 'access.keys' ORDER BY seq")
    return [read_key(row["record"].encode()) for row in rows]


async def test_keys_are_made_in_order_stored_and_announced(owner: Connection) -> None:
    wishes = [
        wanted(OwnerKind.CLINIC, "0001"),
        wanted(OwnerKind.APP, "app"),
        wanted(OwnerKind.OPERATOR, "kim"),
    ]
    made = await access_keys.create_keys(owner, wishes)
    assert [(key.owner_kind, key.owner_id) for _, key in made] == [(each.owner_kind, each.owner_id) for each in wishes]
    assert all(opens(key, token, NOW) for token, key in made)
    stored = {each.key.key_id: each.key for each in await access_keys.load_keys(owner)}
    assert stored == {key.key_id: key for _, key in made}
    assert await announced(owner) == [key for _, key in made]


async def test_a_key_for_nobody_is_refused(owner: Connection) -> None:
    with pytest.raises(UnknownOwner, match="unknown app 'apq'\nunknown clinic 'app'"):
        await access_keys.create_keys(owner, [wanted(OwnerKind.APP, "apq"), wanted(OwnerKind.CLINIC, "app")])


async def test_a_revoked_key_stays_revoked_and_only_that_is_announced(owner: Connection) -> None:
    [(token, key)] = await access_keys.create_keys(owner, [wanted(OwnerKind.APP, "app")])
    revoked = await access_keys.revoke_key(owner, key.key_id)
    assert revoked is not None
    assert not opens(revoked, token, NOW)
    assert await announced(owner) == [revoked]
    assert await access_keys.revoke_key(owner, key.key_id) == revoked


async def test_an_unknown_key_is_not_revoked(owner: Connection) -> None:
    assert await access_keys.revoke_key(owner, "nosuchkey") is None
