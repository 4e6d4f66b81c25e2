"""What the optional hot tier saves: two ingress processes, first without it, then with it.

1. One ingress is asked for 14 days of 1,000 providers, then the other for the same: what that costs it and PostgreSQL.
2. A time is booked; then 200 patients want it: how long until each knows that it is taken.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import aiohttp

from devstack import roles
from devstack.processes import Process
from devstack.stack import RUN, Stack
from devstack.valkey_server import ValkeyServer
from devstack.world import APP, Shape
from loadtest.bench import cpu
from loadtest.bench.report import Result
from loadtest.bench.slots import ask, ingress_of, load, session_of
from loadtest.measure import Percentiles
from waiting_room.access import OwnerKind

CLINICS, PROVIDERS = 2_000, 5
DAYS = 3
ASKED = 1_000
CALLERS = 200
FOLDER = RUN / "bench-hot-tier"


class Lent(NamedTuple):
    """What the second ingress was like: latency, failures, CPU ms a request of its own and of PostgreSQL."""

    latency: Percentiles
    failed: int
    own_ms: float
    postgres_ms: float


class Told(NamedTuple):
    """Seconds from each loser's request to its 409; how many were refused before they were accepted, and how many were
    told anything else.
    """

    seconds: list[float]
    at_once: int
    otherwise: int


async def measure(seed: int) -> Result:
    """The value is PostgreSQL's CPU for what another ingress has read before, with the tier over without."""
    began = time.monotonic()
    shape = Shape(
        clinics=CLINICS,
        providers=PROVIDERS,
        partitions=512,
        builtin_clinics=True,
        slow=0,
        down=0,
        webhooks=False,
        seed=seed,
    )
    stack, valkey = Stack(shape, FOLDER), ValkeyServer(FOLDER / "data" / "valkey")
    found: dict[str, tuple[Lent, Told]] = {}
    try:
        keys = await stack.start_servers()
        providers = [each for clinic in stack.world.clinics for each in clinic["provider_ids"]]
        random.Random(seed).shuffle(providers)
        unseen = iter(providers)
        await load(stack.owner_dsn, 0, DAYS)
        await valkey.start()
        for name, settings in (("without", {}), ("with", {"WAITING_ROOM_VALKEY_URL": valkey.url})):
            found[name] = await _with(stack, keys[OwnerKind.APP, APP], settings, unseen)
    finally:
        await valkey.stop()
        await stack.stop()
    rows: dict[str, Any] = {}
    for name, (lent, told) in found.items():
        rows |= {
            f"{name}: what another has read, p50 / p99, ms": f"{lent.latency.p50:.1f} / {lent.latency.p99:.1f}",
            f"{name}: CPU ms a request, ingress / PostgreSQL": f"{lent.own_ms:.2f} / {lent.postgres_ms:.2f}",
            f"{name}: told that it is taken after, median / max, ms": (
                f"{1_000 * statistics.median(told.seconds):.1f} / {1_000 * max(told.seconds):.1f}"
            ),
            f"{name}: of {CALLERS} refused before they were accepted": told.at_once,
        }
    ratio = found["with"][0].postgres_ms / found["without"][0].postgres_ms
    sooner = statistics.median(found["with"][1].seconds) / statistics.median(found["without"][1].seconds)
    rows["told that it is taken, with over without, median"] = sooner
    wrong = sum(lent.failed + told.otherwise for lent, told in found.values())
    return Result(
        name="hot-tier",
        promise="what one ingress has read is cheaper for the next; whoever comes too late knows at once",
        target="both less than without, every loser told",
        value=ratio,
        unit="of PostgreSQL's CPU without",
        passed=ratio < 1 and sooner < 1 and not wrong,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={**rows, "answers that were not right": wrong},
    )


async def _with(stack: Stack, key: str, settings: dict[str, str], unseen: Iterator[str]) -> tuple[Lent, Told]:
    async with AsyncExitStack() as opened:
        first, second = [await opened.enter_async_context(ingress_of(stack, **settings)) for _ in range(2)]
        sessions = [await opened.enter_async_context(session_of(base, key)) for _, base in (first, second)]
        await asyncio.gather(*(ask(session, lambda: next(unseen), 100) for session in sessions))
        chosen = [next(unseen) for _ in range(ASKED)]
        await ask(sessions[0], iter(chosen).__next__, ASKED)
        lent = await _second(stack, second[0], sessions[1], chosen)
        return lent, await _race(stack, settings, sessions, next(unseen))


async def _second(stack: Stack, process: Process, session: aiohttp.ClientSession, chosen: list[str]) -> Lent:
    assert stack.postgres is not None
    before = cpu.of(process.pid), cpu.of(stack.postgres.pid)
    latency, failed = await ask(session, iter(chosen).__next__, ASKED)
    own, postgres = cpu.of(process.pid) - before[0], cpu.of(stack.postgres.pid) - before[1]
    return Lent(latency, failed, own / ASKED * 1_000, postgres / ASKED * 1_000)


async def _race(
    stack: Stack, settings: dict[str, str], sessions: list[aiohttp.ClientSession], provider_id: str
) -> Told:
    hold, _ = roles.worker("hold", {**stack.env(), **settings}, stack.owner_dsn, stack.secrets, stack.logs)
    relay, _ = roles.worker("relay", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
    await asyncio.gather(hold.start(), relay.start())
    try:
        async with sessions[0].get(f"/v1/providers/{provider_id}/slots?service=consultation") as answer:
            slots = (await answer.json())["slots"]
        start_at = next(each["start_at"] for each in slots if each["status"] == "free")
        won = await _book(sessions[0], provider_id, start_at)
        await asyncio.sleep(1)  # so that all who come now come too late
        told = await asyncio.gather(*(_book(sessions[number % 2], provider_id, start_at) for number in range(CALLERS)))
    finally:
        await asyncio.gather(hold.stop(), relay.stop())
    return Told(
        [each.seconds for each in told],
        sum(each.outcome == "none" for each in told),
        sum(each.status != 409 for each in told) + (won.status != 201),
    )


class Booked(NamedTuple):
    """``outcome`` none: it was refused before it was accepted."""

    status: int
    seconds: float
    outcome: str | None


async def _book(session: aiohttp.ClientSession, provider_id: str, start_at: str) -> Booked:
    """A booking that its caller waits for."""
    body = {
        "provider_id": provider_id,
        "service_type": "consultation",
        "patient": {"id": str(uuid.uuid4())},
        "start_at": start_at,
    }
    sent = time.monotonic()
    headers = {"Idempotency-Key": str(uuid.uuid4()), "Prefer": "wait=20"}
    async with session.post("/v1/appointments", json=body, headers=headers) as answer:
        told = await answer.json(content_type=None)
        return Booked(answer.status, time.monotonic() - sent, told.get("outcome"))
