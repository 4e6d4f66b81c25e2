"""What each process costs: CPU a booking, CPU while nothing happens, memory at its highest. deploy/ asks for that much.

500 clinics over HTTP (1-3 s a call) on 512 partitions, 200 bookings/s for 30 s, until the last is decided.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg

from devstack.stack import RUN, Stack, write_stack_file
from devstack.world import Shape
from loadtest.bench import cpu
from loadtest.bench.report import Result
from loadtest.bench.sender import send

CLINICS, PARTITIONS = 500, 512
RATE, SECONDS, IDLE_SECONDS = 200, 30, 10
DECIDED_SECONDS = 120.0
FOLDER = RUN / "bench-footprint"
OURS = ("ingress", "hold", "confirm", "relay", "webhooks", "notify", "sweep")


async def measure(seed: int) -> Result:
    """The value is the CPU that one booking costs in all processes of ours together."""
    began = time.monotonic()
    stack = Stack(Shape(clinics=CLINICS, partitions=PARTITIONS, slow=0, down=0, seed=seed), FOLDER)
    try:
        await stack.start()
        write_stack_file(stack, FOLDER / "stack.json")
        plan = {"url": stack.description["ingress_url"], "app_key": stack.description["app_key"], "seed": seed}
        await send(FOLDER, {**plan, "rate": RATE, "seconds": 5})  # every process's first second is its dearest
        await _until_decided(stack)
        quiet = cpu.of_stack(stack)
        await asyncio.sleep(IDLE_SECONDS)
        before = cpu.of_stack(stack)
        sent, _ = await send(FOLDER, {**plan, "rate": RATE, "seconds": SECONDS, "seed": seed + 1})
        await _until_decided(stack)
        used, idle = cpu.spent(before, cpu.of_stack(stack)), cpu.spent(quiet, before)
        memory = {name: _peak_mb(stack.processes[name].pid) for name in OURS}
    finally:
        await stack.stop()
    accepted = sent.statuses.get(202, 0)
    rows = {
        name: f"{used[name] / accepted * 1_000:.2f} ms CPU a booking, {idle[name] / IDLE_SECONDS * 1_000:.0f} m idle, "
        f"{memory[name]:.0f} MB"
        for name in OURS
    }
    servers = {name: f"{used[name] / accepted * 1_000:.2f} ms CPU a booking" for name in ("kafka", "postgres")}
    return Result(
        name="footprint",
        promise=f"what a booking costs each process, {CLINICS} clinics, {RATE} bookings/s",
        target="reported",
        value=sum(used[name] for name in OURS) / accepted * 1_000,
        unit="ms CPU a booking",
        passed=True,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={"accepted": accepted, **rows, **servers},
        notes=["m: thousandths of a core, as Kubernetes counts; MB: resident, at the highest"],
    )


async def _until_decided(stack: Stack) -> None:
    """Raises TimeoutError."""
    connection = await asyncpg.connect(stack.description["postgres"])
    try:
        async with asyncio.timeout(DECIDED_SECONDS):
            while await connection.fetchval(_UNDECIDED):
                await asyncio.sleep(0.5)
    finally:
        await connection.close()


_UNDECIDED = "SELECT count(*) FROM appointments WHERE status = 'pending'"


def _peak_mb(pid: int) -> float:
    """The most memory the process ever held at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024
