"""The notify role's two halves, each to be run by itself on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.support.commands import record
from tests.support.database import Database
from tests.support.gateways import Gateways
from tests.support.log import until
from tests.support.patients import VAULT
from tests.support.world import settings_for
from waiting_room.kafka import Producer
from waiting_room.settings import Settings
from waiting_room.store.notifications import Key
from waiting_room.store.pool import Pool, create_pool
from workers.event_intake import EventIntake
from workers.notify.compose import Composer
from workers.notify.gateways import gateways as open_gateways
from workers.notify.intake import Messages
from workers.notify.sender import Sender


@dataclass(frozen=True)
class Notify:
    """``settings`` lead to gateways of the test's own."""

    database: Database
    settings: Settings
    pool: Pool

    async def take(self) -> None:
        """Plan for every event there is so far, as if they were read anew."""
        async with self.database.owner() as owner:
            events = await owner.fetch("SELECT clinic_id, record FROM appointment_events ORDER BY clinic_id, seq")
        purpose = Messages(self.settings, self.pool, VAULT)
        intake = EventIntake(self.settings, Producer(self.settings), purpose, on_new=lambda: None)
        await intake.take([record(row["record"].encode(), key=row["clinic_id"]) for row in events])

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[asyncio.Task[None]]:
        """A sender at work; stopped orderly at the end unless the test has cancelled it, which is a crash."""
        finish = asyncio.Event()
        async with open_gateways(self.settings) as by_channel:
            sender = Sender(self.settings, self.pool, VAULT, Composer(self.settings, self.pool), by_channel)
            task = asyncio.create_task(sender.run(finish))
            try:
                yield task
            finally:
                finish.set()
                with suppress(asyncio.CancelledError):
                    await task
                for each in sender.under_way:  # what a crash leaves
                    each.cancel()

    async def rows(self) -> list[asyncpg.Record]:
        """Every message, in the order in which they are due."""
        async with self.database.owner() as owner:
            return list(await owner.fetch("SELECT * FROM notifications ORDER BY due_at, booking_ref, kind, ended_at"))

    async def settled(self) -> list[asyncpg.Record]:
        """Every message, once none is due any more."""
        found: list[asyncpg.Record] = []

        async def none_due() -> bool:
            found[:] = await self.rows()
            return bool(found) and all(row["state"] != "due" for row in found)

        await until(none_due)
        return found

    async def change(self, statement: str, *values: Any) -> None:
        """As the database's owner."""
        async with self.database.owner() as owner:
            await owner.execute(statement, *values)


def key_of(row: asyncpg.Record) -> Key:
    return Key(*(row[name] for name in Key._fields))


@asynccontextmanager
async def notify(database: Database, gateways: Gateways, **overrides: Any) -> AsyncIterator[Notify]:
    settings = settings_for(database, None, "notify", **{**gateways.settings, **overrides})
    pool = await create_pool(settings, "notify")
    try:
        yield Notify(database, settings, pool)
    finally:
        pool.terminate()
