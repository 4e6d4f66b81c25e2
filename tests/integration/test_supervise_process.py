"""`python -m workers supervise`: its workers start, are started again, leave in order, and do not outlive it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from devstack.process_tree import alive
from tests.integration.test_worker_process import Worker, get
from tests.support.log import until

NOWHERE = {"kafka_bootstrap": "127.0.0.1:9", "postgres_dsn": "postgresql://127.0.0.1:9/none"}
"""Its workers wait for Kafka, and answer meanwhile."""


@asynccontextmanager
async def supervisor(folder: Path, **settings: Any) -> AsyncIterator[Worker]:
    worker = Worker(folder, "supervise", "super", **{**NOWHERE, **settings})
    await worker.start()
    try:
        yield worker
    finally:
        await worker.kill()


def children(worker: Worker) -> list[psutil.Process]:
    return [child for child in psutil.Process(worker.pid).children() if "confirm" in child.cmdline()]


async def test_a_worker_that_died_is_started_again_and_all_leave_in_order(tmp_path: Path) -> None:
    async with supervisor(tmp_path, confirm_workers_min=2, confirm_workers_max=3) as worker:
        first, second = children(worker)
        assert {child.environ()["WAITING_ROOM_WORKER_ID"] for child in (first, second)} == {"super-1", "super-2"}
        first.send_signal(signal.SIGKILL)

        async def again() -> bool:
            return len(worker.said("worker_started")) == 3 and len(children(worker)) == 2

        await until(again)
        [died] = worker.said("worker_died")
        assert (died["level"], died["status"]) == ("error", -signal.SIGKILL)
        assert "waiting_room_confirm_workers_desired 1.0" in (await get(f"{worker.url}/metrics"))[1]
        assert 'waiting_room_confirm_rebalances_total{why="died"} 1.0' in (await get(f"{worker.url}/metrics"))[1]
        mine = children(worker)
        await worker.stop()
        assert worker.returncode == 0
        assert not any(child.is_running() for child in mine)
        assert len(worker.said("worker_left")) == 2
        assert not worker.said("worker_killed")


async def test_its_workers_do_not_outlive_it(tmp_path: Path) -> None:
    async with supervisor(tmp_path) as worker:
        mine = children(worker)
        os.kill(worker.pid, signal.SIGKILL)

        async def gone() -> bool:
            return not any(map(alive, mine))

        assert mine
        await until(gone)


async def test_a_mistake_in_its_settings_is_one_readable_line(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "supervise", confirm_workers_min=3, confirm_workers_max=2)
    worker.spawn()
    assert await worker.wait(120) == 2
    said = worker.log_file.read_text()
    assert "confirm_workers_min must not be more than confirm_workers_max" in said
    assert said.count("\n") == 1


async def test_it_goes_with_no_role(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "supervise hold")
    worker.spawn()
    assert await worker.wait(120) == 2
    assert "'supervise' goes with nothing else" in worker.log_file.read_text()


async def test_a_worker_whose_supervisor_is_gone_does_not_start(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "confirm --parent 999999999", **NOWHERE)
    worker.spawn()
    assert await worker.wait(120) == 1
    assert "the supervisor is gone" in worker.log_file.read_text()
