"""How soon a booking is decided where the platform keeps the calendar: from its acceptance by ingress to hold's word.

100 bookings a second for a minute, of which those for vaccinations take a dose, at 50 clinics without a system of their
own. What counts is on the row: when ingress took it, and PostgreSQL's clock when it was decided, confirmed or rejected.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg

from devstack.stack import RUN, Stack, write_stack_file
from devstack.world import Shape
from loadtest.bench import cpu
from loadtest.bench.report import Result
from loadtest.bench.sender import send
from loadtest.measure import SendResult

RATE, SECONDS = 100, 60
CLINICS = 50
TARGET_MS = 1_000.0
DECIDED_WITHIN_SECONDS = 30.0
"""After the last was sent; what is not decided then has missed by far."""
FOLDER = RUN / "bench-instant"


async def measure(seed: int, seconds: int = SECONDS) -> Result:
    """The value is the p99 from accepted to decided."""
    began = time.monotonic()
    shape = Shape(clinics=CLINICS, builtin_clinics=True, slow=0, down=0, webhooks=False, stocked=True, seed=seed)
    stack = Stack(shape, FOLDER)
    try:
        await stack.start()
        write_stack_file(stack, FOLDER / "stack.json")
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            await connection.execute(_STOCK_UP)
            await _send(stack, 5, seed)  # every process's first second is its slowest
            await _decided(connection)
            before, since = cpu.of_stack(stack), await connection.fetchval("SELECT clock_timestamp()")
            sent = await _send(stack, seconds, seed + 1)
            left = await _decided(connection)
            shares = cpu.spent(before, cpu.of_stack(stack))
            row = await connection.fetchrow(_WAITED, since)
        finally:
            await connection.close()
    finally:
        await stack.stop()
    assert row is not None
    accepted = sent.statuses.get(202, 0)
    p99 = row["p99"] if row["p99"] is not None else float("inf")
    rows: dict[str, Any] = {
        "offered, requests/s": sent.achieved_rate,
        "answers by status": sent.statuses,
        "accepted to decided p50 / p99.9 / max, ms": f"{row['p50']:.1f} / {row['p999']:.1f} / {row['most']:.1f}",
        "accept p99, ms": sent.accepted_latency_ms.p99 if sent.accepted_latency_ms else None,
        "confirmed": row["confirmed"],
        "rejected": row["rejected"],
        "doses claimed": row["doses"],
        "undecided": left,
        **{f"CPU ms a booking: {name}": spent * 1_000 / max(accepted, 1) for name, spent in shares.items()},
    }
    return Result(
        name="instant",
        promise=f"accept to decided at {RATE} bookings/s where the platform keeps the calendar, one machine",
        target="p99 < 1 s, all accepted and decided",
        value=p99,
        unit="ms",
        passed=p99 < TARGET_MS and not left and accepted == sent.requests == row["confirmed"] + row["rejected"],
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows=rows,
    )


async def _send(stack: Stack, seconds: int, seed: int) -> SendResult:
    """One open-loop run."""
    plan = {
        "url": stack.description["ingress_url"],
        "app_key": stack.description["app_key"],
        "seed": seed,
        "rate": RATE,
        "seconds": seconds,
    }
    return (await send(FOLDER, plan))[0]


async def _decided(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    """Wait until all that is there is decided and nothing has come for a second; what is left after that."""
    until, seen = time.monotonic() + DECIDED_WITHIN_SECONDS, -1
    while True:
        there, left = await connection.fetchrow(_LEFT) or (0, 0)
        if (not left and there == seen) or time.monotonic() > until:
            return int(left)
        seen = there
        await asyncio.sleep(1)


_STOCK_UP = """
INSERT INTO stock_lots (clinic_id, product, pool, lot, expires_on, on_hand)
SELECT c.clinic_id, p.product, 'general', 'lot-1', current_date + 365, 100000
FROM clinics AS c INNER JOIN products AS p ON c.business_id = p.business_id
ON CONFLICT DO NOTHING
"""
_LEFT = "SELECT count(*) AS there, count(*) FILTER (WHERE status = 'pending') AS undecided FROM appointments"
_WAITED = """
SELECT
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS p50,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY ms) AS p99,
    percentile_cont(0.999) WITHIN GROUP (ORDER BY ms) AS p999,
    max(ms) AS most,
    count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
    count(*) FILTER (WHERE status = 'rejected') AS rejected,
    coalesce(sum(doses) FILTER (WHERE status = 'confirmed'), 0) AS doses
FROM (
    SELECT status, doses, 1000 * extract(EPOCH FROM decided_at - accepted_at)::float AS ms
    FROM appointments WHERE accepted_at >= $1
) AS decided
"""
