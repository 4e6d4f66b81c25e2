"""How close to each clinic's true capacity its line is worked off, with the simulated clinics' own meters as judge.

Each clinic hides that it takes 1 to 8 calls at once; every other one turns away what is more (503), the others only
get slower. Three drains of lines that are full from the start, in real time:

1. from nothing: 100 clinics, 200 bookings where one call at a time is taken up to 400 where eight are;
2. the same once more, with the limits remembered;
3. 500 clinics, 40 bookings each, limits remembered from a drain that is not counted; time runs slower.

Efficiency is the integral of min(calls in flight, capacity) over that of capacity, until a line is empty.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import msgspec

from devstack import roles
from devstack.processes import Process
from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.bench.fill import append, hold_all
from loadtest.bench.report import Result
from loadtest.clinics.clinic import Stats

LOOK_SECONDS = 0.25
MANY_SCALE, MANY_FIRST = 3.0, 120
"""500 clinics take 1,300 calls a second in real time; two cores carry a third of that beside the clinics."""

CALLS = {
    "WAITING_ROOM_CONFIRM_CALLS_MAX": "3000",
    "WAITING_ROOM_CLINIC_CALL_SECONDS": "60",
    "WAITING_ROOM_CLINIC_LEASE_SECONDS": "90",
}
"""One worker may carry all clinics' calls, and no call of theirs is given up."""

USUAL_SECONDS = 1.7
"""Of a simulated clinic's call, unless it is overloaded: the mean it is set to."""
COLD_EFFICIENCY, WARM_EFFICIENCY, MANY_EFFICIENCY = 0.93, 0.97, 0.94
COLD_OVERLOADS, WARM_OVERLOADS = 0.05, 0.02
MOST_LATENCY = 1.2


class Meters(msgspec.Struct, frozen=True):
    """``/_sim/stats``."""

    elapsed_seconds: float
    clinics: dict[str, Stats]


@dataclass(frozen=True)
class Drain:
    """What one drain came to; ``latency`` is the mean call's time over an unloaded one's."""

    efficiency: float
    overloads: float
    latency: float
    worst: float
    seconds: float
    calls: int


async def measure(seed: int) -> Result:
    """All three; the value is the efficiency with remembered limits."""
    began = time.monotonic()
    cold, warm = await _twice(
        Shape(clinics=100, partitions=128, slow=0, down=0, hidden=True, seed=seed), _by_capacity, seed
    )
    _, many = await _twice(
        Shape(clinics=500, partitions=512, slow=0, down=0, hidden=True, time_scale=MANY_SCALE, seed=seed),
        lambda capacity: 40,
        seed,
        first=MANY_FIRST,
    )
    passed = (
        cold.efficiency >= COLD_EFFICIENCY
        and cold.overloads <= COLD_OVERLOADS
        and warm.efficiency >= WARM_EFFICIENCY
        and warm.overloads <= WARM_OVERLOADS
        and many.efficiency >= MANY_EFFICIENCY
        and max(cold.latency, warm.latency) <= MOST_LATENCY
    )
    rows: dict[str, Any] = {}
    for name, drain, least in (
        ("from nothing", cold, COLD_EFFICIENCY),
        ("remembered", warm, WARM_EFFICIENCY),
        ("500 clinics x 40, remembered", many, MANY_EFFICIENCY),
    ):
        rows |= {
            f"{name}: efficiency (>= {least})": drain.efficiency,
            f"{name}: least of any clinic": drain.worst,
            f"{name}: overload replies, share of calls": drain.overloads,
            f"{name}: call latency / unloaded (<= {MOST_LATENCY})": drain.latency,
            f"{name}: seconds, calls": f"{drain.seconds:.0f}, {drain.calls}",
        }
    return Result(
        name="drain",
        promise="calls in flight up to a clinic's true capacity, over that capacity, while its line is not empty",
        target=f">= {WARM_EFFICIENCY} remembered, >= {COLD_EFFICIENCY} from nothing, >= {MANY_EFFICIENCY} for 500 x 40",
        value=warm.efficiency,
        unit="of capacity",
        passed=passed,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows=rows,
        notes=[
            "100 clinics: real time, calls of 1.7 s on average, 95% between 0.9 and 2.9 s",
            f"500 clinics: {MANY_SCALE:g} times slower",
        ],
    )


def _by_capacity(capacity: int) -> int:
    return 200 + 200 * (capacity - 1) // 7


async def _twice(shape: Shape, bookings: Any, seed: int, first: int | None = None) -> tuple[Drain, Drain]:
    """A drain by a worker that knows nothing, and one by its successor. ``first``: bookings of the former."""
    stack = Stack(shape, RUN / "bench-drain", extra_env=CALLS)
    try:
        await stack.start_servers()
        simulator = stack.clinic_simulator()
        await simulator.start()
        stack.processes["clinics"] = simulator
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            wanted = {clinic["id"]: first or bookings(clinic["capacity"]) for clinic in stack.world.clinics}
            one = await _drain(stack, connection, wanted, seed)
            wanted = {clinic["id"]: bookings(clinic["capacity"]) for clinic in stack.world.clinics}
            two = await _drain(stack, connection, wanted, seed + 1)
        finally:
            await connection.close()
    finally:
        await stack.stop()
    return one, two


async def _drain(
    stack: Stack, connection: asyncpg.Connection[asyncpg.Record], wanted: Mapping[str, int], seed: int
) -> Drain:
    before = await connection.fetchval("SELECT count(*) FROM appointments")
    await append(stack, wanted, seed, days=14)
    await hold_all(stack, connection, before + sum(wanted.values()))
    held = {
        row["clinic_id"]: row["count"]
        for row in await connection.fetch(
            "SELECT clinic_id, count(*) AS count FROM appointments WHERE status = 'pending' GROUP BY clinic_id"
        )
    }
    confirm, _ = roles.worker("confirm", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
    await confirm.start()
    try:
        return await _watch(stack, confirm, held)
    finally:
        await confirm.stop(30)


async def _watch(stack: Stack, confirm: Process, held: Mapping[str, int]) -> Drain:
    """Look at the clinics' meters until nothing waits any more; a line counts until it was last seen not empty."""
    async with aiohttp.ClientSession(stack.clinics_url) as session:
        start = await read_meters(session)
        full: dict[str, tuple[float, Stats]] = {}
        waiting = dict(held)
        now = start
        while waiting:
            await asyncio.sleep(LOOK_SECONDS)
            assert confirm.running, confirm.log_tail()
            now = await read_meters(session)
            for clinic_id, bookings in list(waiting.items()):
                stats, first = now.clinics[clinic_id], start.clinics[clinic_id]
                if stats.bookings_made - first.bookings_made + stats.in_flight >= bookings:
                    del waiting[clinic_id]
                else:
                    full[clinic_id] = now.elapsed_seconds, stats
        while sum(now.clinics[each].bookings_made - start.clinics[each].bookings_made for each in held) < sum(
            held.values()
        ):
            await asyncio.sleep(LOOK_SECONDS)
            now = await read_meters(session)
    efficiencies = [
        (stats.busy_seconds - start.clinics[clinic_id].busy_seconds) / (stats.capacity * (at - start.elapsed_seconds))
        for clinic_id, (at, stats) in full.items()
    ]
    calls = sum(now.clinics[each].calls - start.clinics[each].calls for each in held)
    overloaded = sum(now.clinics[each].fates["overloaded"] - start.clinics[each].fates["overloaded"] for each in held)
    finished = sum(now.clinics[each].finished - start.clinics[each].finished for each in held)
    seconds = sum(_latency_sum(now.clinics[each]) - _latency_sum(start.clinics[each]) for each in held)
    return Drain(
        efficiency=statistics.mean(efficiencies),
        overloads=overloaded / calls,
        latency=seconds / finished / (USUAL_SECONDS * stack.shape.time_scale),
        worst=min(efficiencies),
        seconds=now.elapsed_seconds - start.elapsed_seconds,
        calls=calls,
    )


def _latency_sum(stats: Stats) -> float:
    return (stats.mean_latency_seconds or 0.0) * stats.finished


async def read_meters(session: aiohttp.ClientSession) -> Meters:
    """Of all clinics, now."""
    async with session.get("/_sim/stats") as answer:
        return msgspec.json.decode(await answer.read(), type=Meters)
