"""`python -m workers`: starts, waits, says how it is, stops in order, and dies with a word."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp

from devstack.ports import free_port
from devstack.processes import Process
from tests.stack import READY_SECONDS, Kafka
from tests.support.database import Database
from tests.support.log import everything_in, until
from tests.support.world import MASTER_KEY, PARTITIONS, PATIENT_SECRET, clinics, seed
from tests.support.written import plant
from waiting_room import topics
from waiting_room.settings import PREFIX

ROOT = Path(__file__).parents[2]


class Worker(Process):
    """A worker process with its own health server and log."""

    def __init__(self, folder: Path, roles: str, name: str = "worker", **settings: object) -> None:
        self.port = int(str(settings.pop("metrics_port", 0))) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        values = {
            "metrics_port": self.port,
            "worker_id": name,
            "kafka_clinic_partitions": PARTITIONS,
            "master_key": MASTER_KEY,
            "patient_secret": PATIENT_SECRET,
            **settings,
        }
        super().__init__(
            name,
            [sys.executable, "-m", "workers", *roles.split()],
            log_file=folder / f"{name}.log",
            cwd=ROOT,
            env={**os.environ, **{PREFIX + key.upper(): str(value) for key, value in values.items()}},
            ready_url=f"{self.url}/readyz",
            ready_timeout_seconds=READY_SECONDS,
        )

    async def stop(self, deadline_seconds: float = 120.0) -> None:
        await super().stop(deadline_seconds)

    def log_lines(self) -> list[dict[str, Any]]:
        text = self.log_file.read_text() if self.log_file.exists() else ""
        lines = text.split("\n")[:-1]  # the last may be half written
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log_lines() if line["event"] == event]


def at(database: Database, kafka: Kafka, role: str) -> dict[str, str]:
    return {"postgres_dsn": database.dsn(role), "kafka_bootstrap": kafka.bootstrap_servers}


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_it_says_how_it_is_and_stops_in_order(tmp_path: Path, database: Database, fresh_kafka: Kafka) -> None:
    worker = Worker(tmp_path, "relay", **at(database, fresh_kafka, "relay"))
    await worker.start()
    assert json.loads((await get(f"{worker.url}/readyz"))[1]) == {"status": "ready", "waiting_for": []}
    status, health = await get(f"{worker.url}/healthz")
    assert status == 200
    assert json.loads(health)["event_loop_lag_seconds"] >= 0
    assert 'waiting_room_published_total{kind="booking.held"} 0.0' in (await get(f"{worker.url}/metrics"))[1]
    await worker.stop()
    assert worker.returncode == 0
    assert worker.said("stopped")


async def test_it_waits_for_its_servers_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    nowhere = {
        "kafka_bootstrap": f"127.0.0.1:{free_port()}",
        "postgres_dsn": f"postgresql://127.0.0.1:{free_port()}/none",
    }
    worker = Worker(tmp_path, "relay webhooks sweep", **nowhere)
    worker.spawn()

    async def waits() -> bool:
        try:
            await get(f"{worker.url}/readyz")
        except aiohttp.ClientError:
            return False
        return {line["what"] for line in worker.said("waiting_for")} == {"kafka"}

    await until(waits)
    status, ready = await get(f"{worker.url}/readyz")
    assert (status, json.loads(ready)["waiting_for"]) == (503, ["relay", "sweep", "webhooks"])
    await worker.stop()
    assert worker.returncode == 0


async def test_it_does_not_begin_to_send_what_it_cannot_sign(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "webhooks", master_key="")
    worker.spawn()

    async def ended() -> bool:
        return worker.returncode is not None

    await until(ended)
    assert worker.returncode == 2
    assert worker.log_file.read_text().startswith("bad setting: WAITING_ROOM_MASTER_KEY: ")


async def test_it_waits_for_its_schema(tmp_path: Path, database: Database, fresh_kafka: Kafka) -> None:
    async with database.owner() as owner:
        newest = await owner.fetchval("SELECT max(version) FROM schema_migrations")
        await owner.execute("DELETE FROM schema_migrations WHERE version = $1", newest)
        worker = Worker(tmp_path, "relay", **at(database, fresh_kafka, "relay"))
        worker.spawn()

        async def waits() -> bool:
            return any(newest in line["detail"] for line in worker.said("waiting_for"))

        await until(waits)
        await owner.execute("INSERT INTO schema_migrations VALUES ($1)", newest)

        async def leads() -> bool:
            return bool(worker.said("relay_leads"))

        await until(leads)
        await worker.stop()
        assert worker.returncode == 0


async def test_when_a_task_dies_it_ends_with_one_line_that_says_why(
    tmp_path: Path, database: Database, fresh_kafka: Kafka
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = Worker(tmp_path, "relay", metrics_port=port, **at(database, fresh_kafka, "relay"))
        worker.spawn()
        assert await worker.wait(120) == 1
    [died] = worker.said("task_died")
    assert (died["task"], died["level"]) == ("health", "error")
    assert "address already in use" in died["error"]


async def test_an_unknown_role_is_refused(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "relay nobody")
    worker.spawn()
    assert await worker.wait(120) == 2
    assert "'nobody' is none of hold, confirm, relay" in worker.log_file.read_text()


async def test_a_frozen_relay_is_replaced_and_does_no_harm_when_it_comes_back(
    tmp_path: Path, database: Database, fresh_kafka: Kafka
) -> None:
    [spec] = clinics(1)
    settings = at(database, fresh_kafka, "relay")
    one, two = Worker(tmp_path, "relay", "one", **settings), Worker(tmp_path, "relay", "two", **settings)
    async with database.owner() as owner:
        await seed(owner, [spec])

        async def all_published() -> bool:
            return bool(
                await owner.fetchval(
                    "SELECT published_seq = last_seq FROM relay_cursors INNER JOIN clinic_counters USING (clinic_id)"
                )
            )

        await one.start()
        await two.start()
        try:
            await plant(owner, spec, 1)
            await until(all_published)
            assert not two.said("relay_leads")
            one.freeze()
            await plant(owner, spec, 2)
            await until(all_published)
            assert two.said("relay_leads")
            one.thaw()

            async def noticed() -> bool:
                return bool(one.said("relay_no_longer_leads"))

            await until(noticed)
            await plant(owner, spec, 3)
            await until(all_published)
            seqs = [
                json.loads(record.value)["seq"] for record in await everything_in(fresh_kafka, topics.BOOKING_EVENTS)
            ]
            assert list(dict.fromkeys(seqs)) == [1, 2, 3, 4, 5, 6]
        finally:
            await one.stop()
            await two.stop()
    assert (one.returncode, two.returncode) == (0, 0)
