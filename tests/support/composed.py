"""compose.yaml's own services as processes on this machine: its commands, environment, order and health checks.

Only what containers would see differs: the names of services, ports, folders, and the servers, which are the tests'.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devstack.ports import free_port
from devstack.processes import Process
from tests.stack import Kafka, Postgres
from tests.support.compose import ROOT, Compose
from tests.support.database import ROLE_PASSWORD

JOB_SECONDS = 200.0
READY_SECONDS = 90.0
_HEALTH = re.compile(r"http://127\.0\.0\.1:(\d+)(/\w+)")


class Composed:
    """Give it a parsed compose.yaml and the name of a database that is not there yet."""

    def __init__(self, compose: Compose, folder: Path, kafka: Kafka, postgres: Postgres, database: str) -> None:
        self._services: dict[str, dict[str, Any]] = {
            name: service
            for name, service in compose["services"].items()
            if "build" in service and "profiles" not in service
        }
        self._simulators = {name for name, each in self._services.items() if each["command"][0] == "loadtest"}
        self._folder = folder
        self._ports = {name: free_port() for name in self._services}
        [pool] = compose["networks"]["default"]["ipam"]["config"]
        owner = urlsplit(postgres.admin_dsn)
        self._there = {
            "${POSTGRES_PASSWORD:?make secrets}": owner.password or "",
            "${WAITING_ROOM_POSTGRES_ROLE_PASSWORD:?make secrets}": ROLE_PASSWORD,
            "${WAITING_ROOM_REF_SECRET:?make secrets}": "only-for-tests-" * 3,
            "${WAITING_ROOM_MASTER_KEY:?make secrets}": "only-for-tests-" * 4,
            "${WAITING_ROOM_PATIENT_SECRET:?make secrets}": "only-for-tests-" * 3,
            "@postgres/waiting_room": f"@{owner.hostname}:{owner.port}/{database}",
            "kafka:9092": kafka.bootstrap_servers,
            "//valkey:6379": "//127.0.0.1:9",  # away, as it may be
            **{f"//{name}:8090": f"//127.0.0.1:{self._ports[name]}" for name in self._simulators},
            "0.0.0.0": "127.0.0.1",
            pool["subnet"]: "127.0.0.0/8",
            "/world": str(folder / "world"),
        }
        self.processes: dict[str, Process] = {}

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self._ports[service]}"

    async def up(self) -> None:
        """Start everything in its order. Raises ProcessFailed."""
        order = TopologicalSorter(
            {name: self._services.keys() & each.get("depends_on", {}) for name, each in self._services.items()}
        )
        order.prepare()
        while order.is_active():
            ready = order.get_ready()
            await asyncio.gather(*(self._start(name) for name in ready))
            order.done(*ready)

    async def run(self, service: str, *command: str) -> str:
        """What ``docker compose run SERVICE COMMAND`` prints. Raises ProcessFailed."""
        process = self._process(f"{service}-run", service, list(command))
        process.spawn()
        await process.expect_success(JOB_SECONDS)
        return process.log_tail().strip()

    async def stop(self) -> dict[str, int | None]:
        """End the roles as compose does, then the rest; exit statuses of those that ran until now, by service."""
        running = {name: each for name, each in self.processes.items() if each.running}
        for group in (running.keys() - self._simulators, running.keys() & self._simulators):
            await asyncio.gather(*(running[name].stop(self._grace(name)) for name in group))
        return {name: process.returncode for name, process in running.items()}

    async def _start(self, name: str) -> None:
        service = self._services[name]
        process = self.processes[name] = self._process(name, name, service["command"])
        if service["restart"] == "no":
            process.spawn()
            await process.expect_success(JOB_SECONDS)
        else:
            await process.start()

    def _process(self, name: str, service: str, command: list[str]) -> Process:
        told = self._services[service]
        found = _HEALTH.search(json.dumps(told.get("healthcheck", {})))
        own_port = found[1] if found else ""
        program, *arguments = (self._here(part, service, own_port) for part in command)
        environment = {
            key: self._here(str(value), service, own_port) for key, value in told.get("environment", {}).items()
        }
        clean = {key: value for key, value in os.environ.items() if not key.startswith("WAITING_ROOM_")}
        return Process(
            name,
            [sys.executable, "-m", program, *arguments],
            log_file=self._folder / f"{name}.log",
            env={**clean, **environment},
            cwd=ROOT,
            ready_url=f"{self.url(service)}{found[2]}" if found else None,
            ready_timeout_seconds=READY_SECONDS,
        )

    def _here(self, text: str, service: str, own_port: str) -> str:
        if text == own_port:
            return str(self._ports[service])
        for there, here in self._there.items():
            text = text.replace(there, here)
        return text

    def _grace(self, name: str) -> float:
        return float(self._services[name].get("stop_grace_period", "10s").removesuffix("s"))
