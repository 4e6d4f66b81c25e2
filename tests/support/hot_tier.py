"""Ingresses that share a hot tier, for the tests of what it must not change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from devstack.valkey_server import ValkeyServer
from ingress.calendars import Calendars
from ingress.reads import Reads
from ingress.shared_days import SharedDays
from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Answer, Caller, Stage, ingress, staged, wish
from tests.support.log import until
from tests.support.running import running
from tests.support.valkey import valkey_for_tests
from tests.support.world import ClinicSpec, settings_for, tomorrow
from waiting_room.hot_tier import HotTier
from waiting_room.taken_marks import key_of
from workers.assemble import Role

PATIENT = {"valkey_within_ms": 2_000, "contested_within_ms": 5_000}
"""What is tested is not how busy the machine is."""


@dataclass
class Scene:
    """Two ingresses with the same hot tier, one without, and hold, which can be stopped."""

    stage: Stage
    valkey: ValkeyServer
    one: Caller
    other: Caller
    without: Caller
    hold: AsyncExitStack

    async def book(self, app: Caller, spec: ClinicSpec, key: str | None = None, **changes: Any) -> Answer:
        """Decided before it is answered."""
        body = wish(**{"provider_id": spec.provider_id, **changes})
        return await app.book(key or str(uuid4()), body, headers={"Prefer": "wait=20"})

    async def mark(self, provider_id: str, start_at: datetime | None = None) -> None:
        async with self.valkey.client() as client:
            await client.set(key_of((provider_id, start_at or tomorrow())), b"")

    async def marked(self, *provider_ids: str) -> None:
        """Wait until hold has."""
        wanted = {key_of((each, tomorrow())) for each in provider_ids}

        async def there() -> bool:
            return wanted <= await self.valkey.keys("taken:*")

        await until(there)

    async def in_use(self) -> None:
        """Wait until both use the hot tier."""
        for app in (self.one, self.other):

            async def used(app: Caller = app) -> bool:
                return "waiting_room_hot_tier_away 0.0" in (await app.get("/metrics")).body

            await until(used)

    async def claims(self, spec: ClinicSpec) -> int:
        async with self.stage.database.owner() as owner:
            found = await owner.fetchval("SELECT count(*) FROM seat_claims WHERE clinic_id = $1", spec.clinic_id)
            return int(found)


@asynccontextmanager
async def two_and_one(kafka: Kafka, template: Database, specs: Sequence[ClinicSpec]) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        valkey = await stack.enter_async_context(valkey_for_tests())
        stage = await stack.enter_async_context(staged(kafka, template, specs))
        hold = await stack.enter_async_context(AsyncExitStack())
        with_it: dict[str, Any] = {"valkey_url": valkey.url, **PATIENT}
        await hold.enter_async_context(running(Role.HOLD, settings_for(stage.database, kafka, **with_it)))
        await stack.enter_async_context(running(Role.RELAY, settings_for(stage.database, kafka, "relay")))
        apps = []
        for settings in (with_it, with_it, {}):
            base = await stack.enter_async_context(ingress(kafka, stage.database, **settings))
            apps.append(await stack.enter_async_context(Caller(base, stage.token)))
        one, other, without = apps
        scene = Scene(stage, valkey, one, other, without, hold)
        await scene.in_use()
        yield scene


@asynccontextmanager
async def newcomers(scene: Scene, within_seconds: float = 2.0) -> AsyncIterator[Iterator[Calendars]]:
    """Ingresses that have just started, one after the other: they have no copies, only what others lend them."""
    reads = await Reads.open(settings_for(scene.stage.database, None, "ingress"))
    tier, finish = HotTier(scene.valkey.url, within_seconds), asyncio.Event()
    running_tier = asyncio.create_task(tier.run(finish))

    def fresh() -> Iterator[Calendars]:
        while True:
            yield Calendars(reads, 1_000, SharedDays(tier))

    try:

        async def there() -> bool:
            return not tier.away

        await until(there)
        yield fresh()
    finally:
        finish.set()
        await running_tier
        await reads.close()
