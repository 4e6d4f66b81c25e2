"""How many bookings a second one hold process takes from a full topic into PostgreSQL."""

from __future__ import annotations

import random
import time
from collections import Counter

import asyncpg

from devstack import roles
from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.bench import cpu
from loadtest.bench.fill import append, held
from loadtest.bench.report import Result

BOOKINGS = 40_000
CLINICS = 500
TARGET = 5_000


async def measure(seed: int) -> Result:
    """Fill the topic, start hold, watch it drain; the rate between the first 10% and the last booking held."""
    began = time.monotonic()
    stack = Stack(Shape(clinics=CLINICS, partitions=512, webhooks=False, seed=seed), RUN / "bench-hold")
    try:
        await stack.start_servers()
        await append(stack, _spread(stack, seed), seed)
        hold, _ = roles.worker("hold", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            await hold.start()
            before = {**cpu.of_stack(stack), "hold": cpu.of(hold.pid)}
            await held(connection, BOOKINGS)
            spent = cpu.spent(before, {**cpu.of_stack(stack), "hold": cpu.of(hold.pid)})
            row = await connection.fetchrow(_RATE, BOOKINGS // 10)
        finally:
            await connection.close()
            await hold.stop()
    finally:
        await stack.stop()
    assert row is not None
    rate = row["bookings"] / row["seconds"]
    return Result(
        name="hold",
        promise="bookings drained from a full topic by one process",
        target=f">= {TARGET} /s",
        value=rate,
        unit="bookings/s",
        passed=rate >= TARGET and row["held"] + row["rejected"] == BOOKINGS,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={
            "held": row["held"],
            "rejected (no free slot)": row["rejected"],
            **{f"CPU ms a booking: {name}": seconds * 1_000 / BOOKINGS for name, seconds in spent.items()},
        },
        notes=["everything, Kafka and PostgreSQL included, on this machine; hold alone reads the topic"],
    )


_RATE = """
SELECT
    count(*) AS bookings,
    EXTRACT(EPOCH FROM max(at) - min(at))::float AS seconds,
    (SELECT count(*) FROM appointments WHERE status = 'pending') AS held,
    (SELECT count(*) FROM appointments WHERE status = 'rejected') AS rejected
FROM (
    SELECT coalesce(held_at, decided_at) AS at FROM appointments ORDER BY 1 OFFSET $1
) AS later
"""


def _spread(stack: Stack, seed: int) -> Counter[str]:
    chance = random.Random(seed)
    return Counter(chance.choice(stack.world.clinics)["id"] for _ in range(BOOKINGS))
