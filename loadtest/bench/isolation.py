"""How much healthy clinics' patients wait longer because other clinics are in trouble.

The p99 wait from held to the first call, over clinics that are healthy throughout, with 10% of all clinics hanging,
10% ten times slower and 5% down, over the same with all of them healthy. Every clinic gets its bookings at once, as
on a Monday, and partitions are shared by several clinics, troubled and healthy ones mixed.

- in the simulator: 400 clinics on 100 partitions;
- on sockets: 60 clinics on 24 partitions, the median of five alternations.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from random import Random

import asyncpg

from devstack import roles
from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.bench.fill import append
from loadtest.bench.report import Result
from loadtest.clinics.behaviour import ClinicBehaviour
from loadtest.simulate.run import percentile
from loadtest.simulate.world import Rules, World
from waiting_room.domain.booking_ref import clinic_id_of_number

HANGING, SLOW, DOWN = 0.10, 0.10, 0.05
SLOW_FACTOR = 10.0
SIMULATED, SIMULATED_PARTITIONS, SEEDS = 400, 100, 5
ON_SOCKETS, SOCKET_PARTITIONS, ALTERNATIONS = 60, 24, 5
BOOKINGS = 30
SIMULATOR_TARGET, SOCKETS_TARGET = 1.05, 1.15
LONGEST_SECONDS = 180.0


async def measure(seed: int) -> Result:
    """The value is the ratio on sockets."""
    began = time.monotonic()
    simulated = [
        _simulate(seed + number, troubled=True) / _simulate(seed + number, troubled=False) for number in range(SEEDS)
    ]
    waits: dict[bool, list[float]] = {False: [], True: []}
    for number in range(ALTERNATIONS):
        for troubled in (False, True):
            waits[troubled].append(await _on_sockets(seed + number, troubled=troubled))
    ratios = [with_ / without for without, with_ in zip(waits[False], waits[True], strict=True)]
    ratio, in_simulator = statistics.median(ratios), statistics.median(simulated)
    return Result(
        name="isolation",
        promise="p99 confirm wait of healthy clinics, 10% hanging, 10% ten times slower, 5% down, over none of that",
        target=f"<= {SOCKETS_TARGET} on sockets (median of {ALTERNATIONS}), <= {SIMULATOR_TARGET} in the simulator",
        value=ratio,
        unit="times as long",
        passed=ratio <= SOCKETS_TARGET and in_simulator <= SIMULATOR_TARGET,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={
            f"in the simulator, median of {SEEDS} seeds": in_simulator,
            "in the simulator, each": _listed(simulated),
            "on sockets, each alternation": _listed(ratios),
            "on sockets, p99 wait without trouble, s": _listed(waits[False]),
            "on sockets, p99 wait with trouble, s": _listed(waits[True]),
        },
        notes=[
            f"simulator: {SIMULATED} clinics on {SIMULATED_PARTITIONS} partitions, two workers",
            f"sockets: {ON_SOCKETS} clinics on {SOCKET_PARTITIONS} partitions, one worker; real time",
            f"{BOOKINGS} bookings at each clinic within ten seconds; 4 to 8 calls at once",
        ],
    )


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _troubled(clinics: int) -> tuple[int, int, int]:
    return round(clinics * SLOW), round(clinics * DOWN), round(clinics * HANGING)


def _simulate(seed: int, *, troubled: bool) -> float:
    """The p99 wait of the clinics that are healthy in both worlds."""
    slow, down, hanging = _troubled(SIMULATED)
    chance = Random(f"isolation {seed}")
    behaviours: dict[str, ClinicBehaviour] = {}
    for number in range(SIMULATED):
        behaviour = ClinicBehaviour(capacity=chance.randint(4, 8), processing_limit=2.5)
        if troubled and number < slow:
            behaviour = behaviour.patched({"slow_factor": SLOW_FACTOR})
        elif troubled and number < slow + down:
            behaviour = behaviour.patched({"down": "503"})
        elif troubled and number < slow + down + hanging:
            behaviour = behaviour.patched({"down": "hang"})
        behaviours[clinic_id_of_number(number + 1)] = behaviour
    world = World(behaviours, Rules(partitions=SIMULATED_PARTITIONS, calls_max=2_000), seed)
    world.join(2)
    for number in range(BOOKINGS):
        for clinic_id in behaviours:
            world.clock.after(chance.uniform(0.0, 10.0), world.book, (clinic_id, f"{clinic_id}-{number}"))
    world.clock.run_until(LONGEST_SECONDS)
    healthy = set(list(behaviours)[slow + down + hanging :])
    bookings = [each for each in world.store.bookings.values() if each.key[0] in healthy]
    assert all(each.decided is not None for each in bookings)
    waits = sorted((each.first_call or each.held) - each.held for each in bookings)
    return percentile(waits, 0.99)


async def _on_sockets(seed: int, *, troubled: bool) -> float:
    """The same, through Kafka, PostgreSQL and HTTP."""
    slow, down, hanging = _troubled(ON_SOCKETS)
    shape = Shape(
        clinics=ON_SOCKETS,
        partitions=SOCKET_PARTITIONS,
        slow_factor=SLOW_FACTOR,
        down_from_seconds=0.0,
        down_for_seconds=3_600.0,
        webhooks=False,
        seed=seed,
        slow=slow if troubled else 0,
        down=down if troubled else 0,
        hanging=hanging if troubled else 0,
    )
    stack = Stack(shape, RUN / "bench-isolation", progress=lambda line: None)
    try:
        await stack.start_servers()
        simulator = stack.processes["clinics"] = stack.clinic_simulator()
        await simulator.start()
        for role in ("hold", "confirm", "sweep"):
            process, _ = roles.worker(role, stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
            stack.processes[role] = process
            await process.start()
        clinics = [clinic["id"] for clinic in stack.world.clinics]
        await append(stack, dict.fromkeys(clinics, BOOKINGS), seed, days=14)
        return await _p99_wait(stack, clinics[slow + down + hanging :])
    finally:
        await stack.stop()


async def _p99_wait(stack: Stack, healthy: list[str]) -> float:
    connection = await asyncpg.connect(stack.owner_dsn)
    try:
        wait_until = time.monotonic() + LONGEST_SECONDS
        while await connection.fetchval(_LEFT, healthy) < len(healthy) * BOOKINGS:
            if time.monotonic() > wait_until:
                raise TimeoutError("healthy clinics were not done in time")
            await connection.fetchval("SELECT pg_sleep(0.5)")
        return float(await connection.fetchval(_WAITS, healthy))
    finally:
        await connection.close()


_LEFT = "SELECT count(*) FROM appointments WHERE clinic_id = any($1) AND status <> 'pending'"
_WAITS = """
SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY EXTRACT(EPOCH FROM c.claimed_at - a.held_at)) AS p99
FROM appointments AS a
INNER JOIN call_attempts AS c ON a.clinic_id = c.clinic_id AND a.booking_ref = c.booking_ref AND c.attempt = 1
WHERE a.clinic_id = any($1)
"""
