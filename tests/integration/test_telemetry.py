"""What only real servers show: the lines as PostgreSQL has them, waits for a connection, several ingress a host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from prometheus_client import REGISTRY

from devstack.ports import free_port
from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import ingress_process
from tests.support.log import until
from tests.support.world import clinics, seed
from tests.support.written import CONFIRMED, HELD, plant
from waiting_room.settings import Settings
from waiting_room.store import outages
from waiting_room.store.lines import waiting
from waiting_room.store.pool import create_pool
from workers.sweep.lines import LineWatch


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_lines_are_told_as_postgresql_has_them(database: Database) -> None:
    specs = clinics(3, endpoint="http://127.0.0.1:9/clinics")
    waits = value("waiting_room_pool_wait_seconds_count")
    async with database.owner() as owner:
        await seed(owner, specs)
        for spec, events in zip(specs, (HELD, HELD, CONFIRMED), strict=True):
            await plant(owner, spec, 1, events)
        await plant(owner, specs[1], 2, HELD)
        await owner.execute(
            "UPDATE appointments SET accepted_at = $1 WHERE clinic_id = $2",
            datetime.now(UTC) - timedelta(seconds=500),
            specs[0].clinic_id,
        )
        await outages.say(owner, [specs[0].clinic_id])
    pool = await create_pool(Settings(postgres_dsn=database.dsn("sweep")), "sweep")
    try:
        async with pool.acquire() as conn:
            lines = {line.clinic_id: line for line in await waiting(conn)}
            assert value("waiting_room_pool_connections", state="used") >= 1
        LineWatch(pool).say(list(lines.values()))
    finally:
        await pool.close()
    assert {clinic_id: (line.line, line.down) for clinic_id, line in lines.items()} == {
        specs[0].clinic_id: (1, True),
        specs[1].clinic_id: (2, False),
    }
    assert 500 <= lines[specs[0].clinic_id].oldest_seconds < 560
    assert 500 <= value("waiting_room_oldest_wait_seconds", state="down") < 560
    assert value("waiting_room_oldest_wait_seconds", state="up") < 60
    assert value("waiting_room_undecided", state="up") == 2
    assert value("waiting_room_pool_wait_seconds_count") > waits


async def test_several_ingress_share_a_port_and_each_is_scraped(fresh_kafka: Kafka) -> None:
    port, ports = free_port(), (free_port(), free_port())
    shared: dict[str, Any] = {"ingress_port": port, "ingress_share_port": True, "ready": False}
    async with (
        ingress_process(fresh_kafka, None, **shared, worker_id="one", metrics_port=ports[0]) as (_, one),
        ingress_process(fresh_kafka, None, **shared, worker_id="two", metrics_port=ports[1]) as (_, two),
        aiohttp.ClientSession() as session,
    ):

        async def connections(of: int) -> bool:
            try:
                async with session.get(f"http://127.0.0.1:{of}/metrics") as response:
                    page = await response.text()
            except aiohttp.ClientError:
                return False  # the other one answered to be ready
            return "waiting_room_watchers 0.0" in page and "waiting_room_event_loop_lag_seconds_count" in page

        assert one.pid != two.pid
        for each in ports:
            await until(lambda each=each: connections(each))  # type: ignore[misc]
        for _ in range(4):
            async with aiohttp.ClientSession() as caller, caller.get(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == 200
