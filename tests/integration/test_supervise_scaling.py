"""The supervisor with real workers: they come for a rush they can serve, and for nothing else.

A worker here carries 8 calls and 30 clinics make a rush, where in production it is 500 calls and hundreds of clinics:
what counts is how the two compare.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration.test_worker_process import Worker
from tests.stack import Kafka
from tests.support.confirming import Site, sites, until
from tests.support.database import Database
from tests.support.processes import gauges, process_of

CALLS_MAX, MOST, EACH = 8, 3, 16
DESIRED, RUNNING = "waiting_room_confirm_workers_desired", "waiting_room_confirm_workers_running"


@asynccontextmanager
async def supervised(folder: Path, site: Site, **settings: Any) -> AsyncIterator[Worker]:
    values = {
        "confirm_calls_max": CALLS_MAX,
        "confirm_workers_max": MOST,
        "confirm_workers_down_after_seconds": 3.0,
        "confirm_wait_target_seconds": 5.0,
    }
    worker = process_of(folder, "supervise", "super", site.settings, **{**values, **settings})
    await worker.start()
    try:
        yield worker
        await worker.stop()
        assert worker.returncode == 0
    finally:
        await worker.kill()


def child_url(worker: Worker) -> str:
    return f"http://127.0.0.1:{worker.said('worker_started')[0]['metrics_port']}"


async def test_a_stuck_clinic_adds_no_worker_however_long_its_line(
    tmp_path: Path, database: Database, fresh_kafka: Kafka
) -> None:
    """By the length of the line alone, 10,000 bookings of 2 s within 5 s would want 500 workers."""
    async with sites(database, fresh_kafka, concurrency=40, behaviour={"capacity": 40, "down": "hang"}) as [site]:
        await site.rush(10_000)
        async with supervised(tmp_path, site, clinic_call_seconds=0.5) as worker:
            seen: set[tuple[float, float]] = set()

            async def known_to_be_down() -> bool:
                own = await gauges(worker.url)
                seen.add((own[DESIRED], own[RUNNING]))
                return (await gauges(child_url(worker))).get("waiting_room_bookings_waiting{breaker}") == 10_000

            await until(known_to_be_down, 90)
            for _ in range(6):
                await asyncio.sleep(0.5)
                assert await known_to_be_down()
            assert {desired for desired, _ in seen} == {1.0}
            assert {running for _, running in seen} <= {0.0, 1.0}
            assert not worker.said("scaling")
            async with aiohttp.ClientSession() as session, session.get(f"{worker.url}/targets") as listed:
                found = await listed.json()
            assert found == [{"targets": [child_url(worker).removeprefix("http://")], "labels": {}}], "for Prometheus"


async def test_workers_come_for_a_rush_and_go_one_by_one(
    tmp_path: Path, database: Database, fresh_kafka: Kafka
) -> None:
    behaviour = {"capacity": 9, "latency_mean": 0.3, "latency_max": 0.8}
    times = {"clinic_call_seconds": 2.0, "clinic_lease_seconds": 4.0}
    async with sites(database, fresh_kafka, 30, concurrency=2, behaviour=behaviour, settings=times) as many:
        async with supervised(tmp_path, many[0]) as worker:
            for site in many:
                await site.rush(EACH)

            async def rushing() -> bool:
                own = await gauges(worker.url)
                return own[DESIRED] > MOST and own[RUNNING] == MOST

            await until(rushing, 90)
            await until(lambda: all(len(site.records()) == EACH for site in many), 90)

            async def alone() -> bool:
                return (await gauges(worker.url))[RUNNING] == 1

            await until(alone, 90)
            own = await gauges(worker.url)
            steps = [(line["workers"], line["wanted"]) for line in worker.said("scaling")]
        ups = [step for step in steps if step[1] > step[0]]
        assert steps == [*ups, (3, 2), (2, 1)], "up first, then down one by one, and nobody comes back"
        counted = {why: own[f"waiting_room_confirm_rebalances_total{{{why}}}"] for why in ("up", "down")}
        assert counted == {"up": len(ups), "down": 2}
        assert all(before[1] == after[0] for before, after in pairwise(steps))
        async with database.owner() as owner:
            assert await owner.fetchval("SELECT count(*) FROM appointments WHERE status = 'confirmed'") == 30 * EACH
        for site in many:
            assert {record.times_accepted for record in site.records().values()} == {1}
            assert site.clinic.stats(0).max_in_flight <= 2
