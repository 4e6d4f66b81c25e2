"""What it costs to measure: on the accept path, at each scrape of ingress, and in bytes of a whole deployment.

1. Ingress and an ingress whose metrics do nothing, in turns on one stack: CPU a booking.
2. Ingress that knows 10,000 clinics and what ten workers say of their lines: CPU a scrape, which its loop is kept for.
3. The pages of a deployment for them, part by part: what every process tells, what the workers tell of clinics, what
   the partitions cost, each told of once.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpg
import msgspec
from aiokafka import TopicPartition

from devstack import roles
from devstack.ports import free_port
from devstack.processes import Process
from devstack.roles import ROOT, WORKER_ROLES
from devstack.stack import RUN, Stack, write_stack_file
from devstack.world import Shape
from loadtest.bench import cpu
from loadtest.bench.report import Result
from loadtest.bench.sender import send
from waiting_room.announcements import publish
from waiting_room.domain.booking_ref import clinic_id_of_number
from waiting_room.kafka import Producer
from waiting_room.messages import ClinicPulse, DirectoryEntry, Pulse, encode, pulse_key
from waiting_room.store import directory
from waiting_room.store.lines import WaitingLine
from waiting_room.telemetry.exposition import page
from waiting_room.telemetry.lag import ConsumerLag
from waiting_room.topics import (
    BOOKING_EVENTS,
    BOOKING_REQUESTS,
    CLINIC_CONFIRMATIONS,
    CLINIC_CONFIRMATIONS_PRIORITY,
    CLINIC_PULSE,
)
from workers.confirm.showing import Showing
from workers.sweep.lines import LineWatch

TURNS, RATE, SECONDS = 7, 400, 6
CLINICS, WORKERS, PARTITIONS, EVENT_PARTITIONS = 10_000, 10, 512, 48
SCRAPES = 50
PROCESSES = {"ingress": 4, "hold": 4, "confirm": WORKERS, "relay": 2, "webhooks": 2, "sweep": 2}
TARGET_SHARE, TARGET_SCRAPE_MS, TARGET_BYTES = 0.03, 20.0, 2_000_000
FOLDER = RUN / "bench-metrics"


async def measure(seed: int) -> Result:
    """The value is the share of CPU that measuring takes of a booking."""
    began = time.monotonic()
    stack = Stack(Shape(clinics=100, partitions=128, slow=0, down=0, seed=seed), FOLDER)
    try:
        await stack.start()
        write_stack_file(stack, FOLDER / "stack.json")
        await asyncio.gather(*(stack.processes[role].stop() for role in WORKER_ROLES))
        turns = await _turns(stack, seed)
        scrape = await _scrape(stack)
    finally:
        await stack.stop()
    pages = _pages()
    ratio = statistics.median(ours / without for ours, without in turns)
    share, whole = 1 - 1 / ratio, pages["whole deployment, bytes"]
    passed = share <= TARGET_SHARE and scrape["cpu_ms"] <= TARGET_SCRAPE_MS and whole < TARGET_BYTES
    return Result(
        name="metrics",
        promise="what measuring costs: of a booking's CPU, of ingress's loop a scrape, in bytes a round of scrapes",
        target="<= 3% of CPU; <= 20 ms a scrape with 10,000 clinics; < 2 MB the whole deployment",
        value=100 * share,
        unit="%",
        passed=passed,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={
            "CPU a booking, ms: measured": statistics.median(ours for ours, _ in turns),
            "CPU a booking, ms: not measured": statistics.median(without for _, without in turns),
            "ratio turn by turn": " ".join(f"{ours / without:.3f}" for ours, without in turns),
            "CPU a scrape of ingress, ms (<= 20)": scrape["cpu_ms"],
            "a scrape of ingress, ms, median": scrape["wall_ms"],
            "its page, bytes": scrape["bytes"],
            **pages,
        },
    )


async def _turns(stack: Stack, seed: int) -> list[tuple[float, float]]:
    """CPU milliseconds a booking with metrics and without, turn by turn; who begins alternates."""
    port = free_port()
    ours = stack.processes["ingress"]
    without = Process(
        "unmeasured",
        [sys.executable, "-m", "loadtest.bench.unmeasured"],
        env={**(ours.env or os.environ), "WAITING_ROOM_INGRESS_PORT": str(port)},
        cwd=ROOT,
        log_file=stack.logs / "unmeasured.log",
        ready_url=f"http://127.0.0.1:{port}/readyz",
    )
    await without.start()
    url = stack.description["ingress_url"]
    both = [(ours.pid, url), (without.pid, f"http://127.0.0.1:{port}")]
    found = []
    try:
        for turn in range(TURNS + 1):
            costs = {}
            for pid, address in both if turn % 2 else both[::-1]:
                before = cpu.of(pid)
                plan = {"url": address, "app_key": stack.description["app_key"], "seed": seed + turn}
                sent, _ = await send(FOLDER, {**plan, "rate": RATE, "seconds": SECONDS})
                costs[pid] = (cpu.of(pid) - before) / sent.requests * 1_000
            if turn:  # the first warms both up
                found.append((costs[ours.pid], costs[without.pid]))
    finally:
        await without.stop()
    return found


async def _scrape(stack: Stack) -> dict[str, float]:
    """A fresh ingress learns of 10,000 clinics and their lines, and is asked for its page."""
    await _many_clinics(stack)
    ingress, url = roles.ingress(stack.env(), stack.owner_dsn, stack.secrets, stack.logs / "many")
    await ingress.start()
    walls, size = [], 0
    try:
        async with aiohttp.ClientSession(url) as session:
            await _knows_all(session, stack.description["app_key"])
            before = cpu.of(ingress.pid)
            for _ in range(SCRAPES):
                started = time.perf_counter()
                async with session.get("/metrics") as response:
                    size = len(await response.read())
                walls.append((time.perf_counter() - started) * 1_000)
            spent = cpu.of(ingress.pid) - before
    finally:
        await ingress.stop()
    return {"cpu_ms": spent / SCRAPES * 1_000, "wall_ms": statistics.median(walls), "bytes": size}


async def _knows_all(session: aiohttp.ClientSession, app_key: str) -> None:
    path = f"/v1/clinics/{clinic_id_of_number(CLINICS)}"
    async with asyncio.timeout(60):
        while True:
            async with session.get(path, headers={"Authorization": f"Bearer {app_key}"}) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.2)


async def _many_clinics(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.owner_dsn)
    try:
        one, *_ = await directory.load(connection)
    finally:
        await connection.close()
    entries = []
    for number in range(1, CLINICS + 1):
        clinic_id = clinic_id_of_number(number)
        providers = tuple(
            msgspec.structs.replace(each, provider_id=f"{clinic_id}-{n}") for n, each in enumerate(one.providers)
        )
        entries.append(DirectoryEntry(clinic=msgspec.structs.replace(one, clinic_id=clinic_id, providers=providers)))
    producer = Producer(stack.settings())
    await producer.start()
    try:
        await publish(producer, entries)
        for worker in range(WORKERS):
            await producer.send_all([(CLINIC_PULSE, 0, key, value) for key, value in _pulses(worker).items()])
    finally:
        await producer.stop()


def _pulses(worker: int) -> dict[str, bytes]:
    clinics: dict[str, dict[str, ClinicPulse]] = {}
    for clinic_id, pulse in _standing(worker).items():
        clinics.setdefault(pulse_key(f"confirm-{worker}", clinic_id), {})[clinic_id] = pulse
    now = datetime.now(UTC)
    return {key: encode(Pulse(worker_id=f"confirm-{worker}", at=now, clinics=of)) for key, of in clinics.items()}


def _standing(worker: int) -> dict[str, ClinicPulse]:
    """Its share of the clinics, each with a line, every twentieth down."""
    return {
        clinic_id_of_number(number): ClinicPulse(
            seq=number, line=1 + number % 97, limit=4, in_flight=3, call_seconds=1.5, breaker_open=number % 20 == 0
        )
        for number in range(1 + worker, CLINICS + 1, WORKERS)
    }


def _pages() -> dict[str, Any]:
    """Bytes, part by part, as each process would tell them; this one tells them one after the other."""
    bare = len(page("")[0])
    Showing().look(_standing(0), 0.0)
    of_confirm = len(page("")[0]) - bare
    no_pool: Any = None
    LineWatch(no_pool).say(
        [WaitingLine(clinic_id_of_number(n), n % 97, n / 10, n % 20 == 0) for n in range(1, CLINICS + 1)]
    )
    of_sweep = len(page("")[0]) - bare - of_confirm
    before = len(page("")[0])
    for group, topics, partitions in (
        ("hold", (BOOKING_REQUESTS,), PARTITIONS),
        ("confirm", (CLINIC_CONFIRMATIONS, CLINIC_CONFIRMATIONS_PRIORITY), PARTITIONS),
        ("webhooks", (BOOKING_EVENTS,), EVENT_PARTITIONS),
    ):
        ConsumerLag(group).assigned([TopicPartition(topic, n) for topic in topics for n in range(partitions)])
    of_partitions = len(page("")[0]) - before
    whole = (
        bare * sum(PROCESSES.values())
        + of_confirm * PROCESSES["confirm"]
        + of_sweep * PROCESSES["sweep"]
        + of_partitions
    )
    return {
        "processes": sum(PROCESSES.values()),
        "what every process tells, bytes": bare,
        "a confirm worker of its clinics, bytes": of_confirm,
        "a sweep of all lines, bytes": of_sweep,
        "all partitions, bytes": of_partitions,
        "whole deployment, bytes": whole,
    }
