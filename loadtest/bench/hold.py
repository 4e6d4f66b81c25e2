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
    """Fill the topic, start hold, watch it drain; the rate between the first 10% and the last booking held. Then the
    same again with half as many bookings of which half take a dose.
    """
    began = time.monotonic()
    stack = Stack(Shape(clinics=CLINICS, partitions=512, webhooks=False, seed=seed), RUN / "bench-hold")
    try:
        await stack.start_servers()
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            await append(stack, _spread(stack, seed, BOOKINGS), seed)
            row, spent = await _drain(stack, connection, 0, BOOKINGS)
            await _stock_up(connection)
            await append(stack, _spread(stack, seed + 1, BOOKINGS // 2), seed + 1)
            dosed, _ = await _drain(stack, connection, BOOKINGS, BOOKINGS // 2)
            doses = await connection.fetchval("SELECT sum(doses) FROM dose_claims")
        finally:
            await connection.close()
    finally:
        await stack.stop()
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
            "bookings/s, half of them with a dose": dosed["bookings"] / dosed["seconds"],
            "doses claimed": doses,
            **{f"CPU ms a booking: {name}": seconds * 1_000 / BOOKINGS for name, seconds in spent.items()},
        },
        notes=["everything, Kafka and PostgreSQL included, on this machine; hold alone reads the topic"],
    )


async def _drain(
    stack: Stack, connection: asyncpg.Connection[asyncpg.Record], there: int, more: int
) -> tuple[asyncpg.Record, dict[str, float]]:
    """Hold ``more`` bookings beside those that are ``there``: what it took, and whose CPU."""
    hold, _ = roles.worker("hold", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
    try:
        await hold.start()
        before = {**cpu.of_stack(stack), "hold": cpu.of(hold.pid)}
        await held(connection, there + more)
        spent = cpu.spent(before, {**cpu.of_stack(stack), "hold": cpu.of(hold.pid)})
    finally:
        await hold.stop()
    row = await connection.fetchrow(_RATE, there + more // 10)
    assert row is not None
    return row, spent


async def _stock_up(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Vaccinations take a dose from now on, and every clinic has enough."""
    await connection.execute(
        """UPDATE service_types SET consumes = '[{"product": "vaccine"}]' WHERE service_type = 'vaccination'"""
    )
    await connection.execute(
        "INSERT INTO stock_lots (clinic_id, product, pool, lot, expires_on, on_hand) "
        "SELECT clinic_id, 'vaccine', 'general', 'lot-' || n, current_date + 30 * n, 500 "
        "FROM clinics CROSS JOIN generate_series(1, 3) AS n"
    )
    await connection.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")


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


def _spread(stack: Stack, seed: int, bookings: int) -> Counter[str]:
    chance = random.Random(seed)
    return Counter(chance.choice(stack.world.clinics)["id"] for _ in range(bookings))
