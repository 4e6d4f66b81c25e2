"""Kills every part at a random moment, under load, and asks the audit whether anything was lost or doubled."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer
import uvloop

from devstack.demo.watch import look
from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.persistent import PersistentCallers
from waiting_room.telemetry import logs

VICTIMS = ("ingress", "hold", "confirm", "relay", "webhooks", "notify", "sweep", "eligibility", "kafka", "postgres")
FAST = {
    "WAITING_ROOM_CLINIC_CALL_SECONDS": "2",
    "WAITING_ROOM_CLINIC_LEASE_SECONDS": "4",
    "WAITING_ROOM_KAFKA_SESSION_TIMEOUT_MS": "6000",
    "WAITING_ROOM_SWEEP_RING_AFTER_SECONDS": "5",
}
"""Short leases and sessions, so that recovery can be watched in seconds instead of minutes."""
STILL_SECONDS = 150.0
"""Without any change while something waits, and it is taken to be stuck: what fails now and then is tried sooner."""
SETTLE_SECONDS = 900.0
RESTART_SECONDS = 0.7


@dataclass
class Verdict:
    """``clean``: the audit found nothing and everything came to rest."""

    killed: list[str] = field(default_factory=list)
    acknowledged: int = 0
    settled_after_seconds: float | None = None
    audit: str = ""
    clean: bool = False


async def chaos(rounds: int, seed: int, folder: Path, say: Callable[[str], None] = print) -> Verdict:
    """In each round every part is killed once with SIGKILL, in random order, while callers go on posting."""
    chance = random.Random(seed)
    shape = Shape(
        clinics=8,
        slow=0,
        down=0,
        call_seconds=0.25,
        faulty=True,
        all_events=True,
        eligibility="fail_closed",
        seed=seed,
    )
    stack = Stack(shape, folder, extra_env=FAST, progress=say)
    verdict = Verdict()
    keeper: asyncio.Task[None] | None = None
    try:
        await stack.start()
        keeper = asyncio.create_task(_keep_alive(stack, say))
        callers = PersistentCallers(stack.description, rate=30.0, seed=seed)
        calling = asyncio.create_task(callers.run())
        await asyncio.sleep(2.0)
        for _ in range(rounds):
            for name in chance.sample(VICTIMS, len(VICTIMS)):
                await asyncio.sleep(chance.uniform(0.3, 1.5))
                await _kill(stack, name, chance.uniform(0.0, 1.0))
                verdict.killed.append(name)
                say(f"killed {name}")
        await asyncio.sleep(1.0)
        callers.stop()
        await calling
        verdict.acknowledged = len(callers.acknowledged)
        verdict.settled_after_seconds = await _settle(stack, verdict.acknowledged)
        verdict.clean, verdict.audit = await _audit(stack, callers, folder)
        verdict.clean = verdict.clean and verdict.settled_after_seconds is not None
    finally:
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await stack.stop(keep=not verdict.clean)
    return verdict


async def _keep_alive(stack: Stack, say: Callable[[str], None]) -> None:
    """Starts again what has ended, killed or not: what systemd or Kubernetes does elsewhere."""
    while True:
        await asyncio.sleep(RESTART_SECONDS)
        for process in stack.processes.values():
            if process.returncode is not None:
                say(f"{process.name} ended with {process.returncode}: started again")
                process.spawn()


async def _kill(stack: Stack, name: str, dead_seconds: float) -> None:
    """Kill it; servers are started again here, our own processes by ``_keep_alive``."""
    server = {"kafka": stack.kafka, "postgres": stack.postgres}.get(name)
    if server is None:
        await stack.processes[name].kill()
        return
    await server.kill()
    await asyncio.sleep(dead_seconds)
    await server.start()


async def _settle(stack: Stack, acknowledged: int) -> float | None:
    """Seconds until nothing waits for anything; None where it stands still before, or takes too long."""
    began = changed = time.monotonic()
    before = None
    connection = await asyncpg.connect(stack.description["postgres"])
    try:
        while (now := time.monotonic()) - began < SETTLE_SECONDS and now - changed < STILL_SECONDS:
            seen = await look(connection)
            if seen.settled(acknowledged):
                return now - began
            counts = replace(seen, lines={})  # without how long each has waited
            before, changed = counts, now if counts != before else changed
            await asyncio.sleep(0.5)
        return None
    finally:
        await connection.close()


async def _audit(stack: Stack, callers: PersistentCallers, folder: Path) -> tuple[bool, str]:
    ledger = folder / "ledger.jsonl"
    callers.write_ledger(ledger)
    return await stack.audit(ledger)


def kill_loop(
    rounds: Annotated[int, typer.Option(min=1, help="In each round every part is killed once.")] = 10,
    seed: Annotated[int, typer.Option(help="Order and moments.")] = int(time.time()) % 100_000,
) -> None:
    """kill -9 of every part, over and over, under load; exit status 1 if anything was lost or doubled."""
    logs.configure("kill-loop", "warning")
    print(f"seed {seed}")
    shutil.rmtree(RUN / "kill-loop" / "data", ignore_errors=True)  # of a run that was killed itself
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        verdict: Verdict = runner.run(chaos(rounds, seed, RUN / "kill-loop"))
    figures: dict[str, Any] = {
        "killed": len(verdict.killed),
        "acknowledged": verdict.acknowledged,
        "settled after, s": verdict.settled_after_seconds,
    }
    print(verdict.audit)
    print(", ".join(f"{name}: {value}" for name, value in figures.items()))
    sys.exit(0 if verdict.clean else 1)
