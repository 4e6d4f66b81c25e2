"""What the tables let happen to deliveries and endpoints is what the domain says."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any

import asyncpg
import pytest

from tests.support.database import Database
from tests.support.endpoint import Endpoint, register
from tests.support.webhooks import CLINIC, commit, event
from waiting_room.domain.delivery import DeliveryState, IllegalMove, Move, after
from waiting_room.store import webhooks
from waiting_room.store.pool import Connection

COLUMNS: dict[DeliveryState, dict[str, Any]] = {
    DeliveryState.DUE: {"failed_why": None, "delivered_at": None},
    DeliveryState.DELIVERED: {"failed_why": None, "delivered_at": datetime.now(UTC)},
    DeliveryState.FAILED: {"failed_why": "attempts", "delivered_at": None},
}
UPDATE = "UPDATE webhook_deliveries SET state = $1, failed_why = $2, delivered_at = $3, replays = replays + $4"


async def go(owner: Connection, state: DeliveryState, *, replay: bool = False) -> None:
    columns = COLUMNS[state]
    await owner.execute(UPDATE, state, columns["failed_why"], columns["delivered_at"], int(replay))


async def bring(owner: Connection, state: DeliveryState) -> None:
    await go(owner, DeliveryState.DUE, replay=True)
    await go(owner, state)


async def one_delivery(owner: Connection) -> None:
    await register(owner, Endpoint("ep_1", url="http://127.0.0.1:9/"), "clinic", CLINIC)
    await commit(owner, event(1))
    assert await webhooks.enlist(owner, [webhooks.Notice(CLINIC, 1)]) == 1


async def test_the_table_lets_through_the_moves_of_the_domain_and_no_others(database: Database) -> None:
    async with database.owner() as owner:
        await one_delivery(owner)
        for before, move in product(DeliveryState, Move):
            await bring(owner, before)
            try:
                then = after(before, move)
            except IllegalMove:
                continue
            await go(owner, then, replay=move is Move.REPLAY)
        allowed = {(before, after(before, move)) for before, move in product(DeliveryState, Move) if fits(before, move)}
        for before, then in product(DeliveryState, DeliveryState):
            if before is then or (before, then) in allowed:
                continue
            await bring(owner, before)
            with pytest.raises(asyncpg.CheckViolationError, match="does not go from"):
                await go(owner, then)


def fits(state: DeliveryState, move: Move) -> bool:
    try:
        after(state, move)
    except IllegalMove:
        return False
    return move is not Move.REPLAY


async def test_what_contradicts_itself_is_not_stored(database: Database) -> None:
    async with database.owner() as owner:
        await one_delivery(owner)
        for contradiction in (
            "UPDATE webhook_deliveries SET delivered_at = now()",
            "UPDATE webhook_deliveries SET failed_why = 'gone'",
            "UPDATE webhook_deliveries SET state = 'failed'",
            "UPDATE webhook_deliveries SET state = 'failed', failed_why = 'gone', lease_until = now()",
            "UPDATE webhook_deliveries SET booking_ref = NULL",
            "UPDATE webhook_deliveries SET attempts = -1",
            "UPDATE webhook_endpoints SET active = FALSE",
            "UPDATE webhook_endpoints SET disabled_at = now(), active = FALSE",
            "UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = 'owner'",
            "INSERT INTO webhook_secrets SELECT endpoint_id, 'second', sealed, public_key FROM webhook_secrets",
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await owner.execute(contradiction)
