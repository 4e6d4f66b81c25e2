"""Twenty times a load that the clinics carry: who is let in, who is told to come back, and what becomes of them.

Ten clinics on one ingress, five times faster than in life: a call takes 0.34 s, the line's ceiling of five minutes
is one. Half of what the clinics can decide comes before, after and all the while (the sustainable load); for twelve
seconds, a minute in life, it is twenty times that. Everyone who is refused comes back when told to, with the same
key, and once more if refused again.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from devstack.stack import RUN, Stack, write_stack_file
from devstack.world import Shape
from loadtest.bench.report import Result
from loadtest.bench.sender import send
from loadtest.measure import LedgerRow
from loadtest.simulate.run import percentile

SCALE = 5
CALL_SECONDS = 1.7 / SCALE
CEILING_SECONDS = 300 // SCALE
CLINICS, LOAD, TIMES = 10, 0.5, 20
BEFORE_SECONDS, SPIKE_SECONDS, AFTER_SECONDS = 15.0, 60.0 / SCALE, 30.0
RETURNS = 2
TARGET_SHARE, TARGET_MS = 0.95, 200.0
WINDOW_SECONDS, WINDOW_LEAST = 5, 100
FOLDER = RUN / "bench-spike"


@dataclass(frozen=True)
class Told:
    """What callers heard. ``windows``: the accept p99 in ms of each WINDOW_SECONDS with enough answers to tell."""

    callers: int
    let_in_at_once: int
    refused: int
    untold: int
    """Refused otherwise than by 429 with a Retry-After."""
    first_returns: int
    let_in_when_told: int
    never: int
    longest_told: int
    accept_p99_ms: float
    windows: list[float]


async def measure(seed: int) -> Result:
    """The value is the share of callers who got in when they came back at the time they were told."""
    began = time.monotonic()
    shape = Shape(
        clinics=CLINICS,
        providers=12,
        slow=0,
        down=0,
        call_seconds=CALL_SECONDS,
        wait_ceiling_seconds=CEILING_SECONDS,
        webhooks=False,
        seed=seed,
    )
    stack = Stack(shape, FOLDER)
    try:
        await stack.start()
        write_stack_file(stack, FOLDER / "stack.json")
        capacity = sum(clinic["capacity"] for clinic in stack.world.clinics) / CALL_SECONDS
        rows = await _send(stack, LOAD * capacity, seed)
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            waits = await _decided(connection, len({row.booking_ref for row in rows if row.status == 202}))
        finally:
            await connection.close()
    finally:
        await stack.stop()
    return _result(seed, time.monotonic() - began, capacity, _told(rows), waits)


async def _send(stack: Stack, rate: float, seed: int) -> list[LedgerRow]:
    plan = {
        "url": stack.description["ingress_url"],
        "app_key": stack.description["app_key"],
        "seed": seed,
        "profile": {
            "type": "surge",
            "rate": rate,
            "times": TIMES,
            "begins_after": BEFORE_SECONDS,
            "lasts_seconds": SPIKE_SECONDS,
            "seconds": BEFORE_SECONDS + SPIKE_SECONDS + AFTER_SECONDS,
        },
        "returns": RETURNS,
    }
    return (await send(FOLDER, plan))[1]


async def _decided(connection: asyncpg.Connection[asyncpg.Record], accepted: int) -> dict[str, float]:
    """Once nothing waits any more, for a while longer than the ceiling: how many were decided, and their waits."""
    give_up_at = time.monotonic() + 3 * CEILING_SECONDS
    while True:
        row = await connection.fetchrow(_DECIDED)
        assert row is not None
        if row["decided"] >= accepted or time.monotonic() > give_up_at:
            return dict(row)
        await connection.fetchval("SELECT pg_sleep(1)")


def _told(rows: Iterable[LedgerRow]) -> Told:
    tries: dict[str, list[LedgerRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.due_at):
        tries[row.idempotency_key].append(row)
    firsts = Counter(each[0].status for each in tries.values())
    refused = [each for each in tries.values() if each[0].status != 202]
    returned = [each[1] for each in refused if len(each) > 1]
    accepted = [row for each in tries.values() for row in each if row.status == 202]
    refusals = [row for each in tries.values() for row in each if row.status != 202]
    return Told(
        callers=len(tries),
        let_in_at_once=firsts[202],
        refused=len(refused),
        untold=sum(1 for row in refusals if row.status != 429 or row.retry_after is None),
        first_returns=len(returned),
        let_in_when_told=sum(1 for row in returned if row.status == 202),
        never=sum(1 for each in tries.values() if each[-1].status != 202),
        longest_told=max((row.retry_after or 0 for row in refusals), default=0),
        accept_p99_ms=percentile(sorted(map(_latency_ms, accepted)), 0.99),
        windows=_windows(accepted),
    )


def _windows(accepted: list[LedgerRow]) -> list[float]:
    first: datetime = min(row.due_at for row in accepted)
    by_window: dict[int, list[float]] = defaultdict(list)
    for row in accepted:
        by_window[int((row.due_at - first).total_seconds() // WINDOW_SECONDS)].append(_latency_ms(row))
    return [percentile(sorted(each), 0.99) for each in by_window.values() if len(each) >= WINDOW_LEAST]


def _latency_ms(row: LedgerRow) -> float:
    assert row.answered_at is not None
    return (row.answered_at - row.due_at).total_seconds() * 1_000


def _result(seed: int, duration: float, capacity: float, told: Told, waits: dict[str, float]) -> Result:
    share = told.let_in_when_told / max(told.first_returns, 1)
    worst_window = max(told.windows)
    rows: dict[str, Any] = {
        "callers; let in at once": f"{told.callers:,}; {told.let_in_at_once:,}",
        "refused; otherwise than by 429 with Retry-After": f"{told.refused:,}; {told.untold}",
        "came back when told; let in then": f"{told.first_returns:,}; {told.let_in_when_told:,}",
        f"not let in, even after coming back {RETURNS} times": told.never,
        "longest Retry-After, s": told.longest_told,
        "accepted; of those decided": f"{told.callers - told.never:,}; {waits['decided']:,}",
        f"longest wait of anybody accepted, s (ceiling {CEILING_SECONDS})": waits["longest"],
        "p99 wait of those accepted, s": waits["p99"],
        "accept p99, ms (< 200)": told.accept_p99_ms,
        f"the worst {WINDOW_SECONDS} s: accept p99, ms (< 200)": worst_window,
    }
    passed = (
        share >= TARGET_SHARE
        and not told.untold
        and waits["decided"] >= told.callers - told.never
        and waits["longest"] <= CEILING_SECONDS
        and worst_window < TARGET_MS
        and told.accept_p99_ms < TARGET_MS
    )
    return Result(
        name="spike",
        promise="20 times a sustainable load for a minute: refused callers get in when they come back as told",
        target=f">= {TARGET_SHARE}; all accepted decided within the ceiling; accept p99 < {TARGET_MS:g} ms throughout",
        value=share,
        unit="of those who came back when told",
        passed=passed,
        seed=seed,
        duration_seconds=duration,
        rows=rows,
        notes=[
            f"{CLINICS} clinics that decide {capacity:.0f} bookings/s; offered {LOAD * capacity:.0f}/s, "
            f"in the spike {LOAD * TIMES * capacity:,.0f}/s; {SCALE} times faster than in life",
            "everyone who was refused came back",
        ],
    )


_DECIDED = """
SELECT
    count(*) FILTER (WHERE status <> 'pending') AS decided,
    coalesce(EXTRACT(EPOCH FROM max(decided_at - accepted_at)), 0)::float AS longest,
    coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY EXTRACT(EPOCH FROM decided_at - accepted_at)), 0) AS p99
FROM appointments
"""
