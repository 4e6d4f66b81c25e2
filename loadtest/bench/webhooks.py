"""What failing webhook endpoints cost the others, and how many events a second reach their endpoints.

The others' p99 from commit to arrival with 10 endpoints hanging and 10 failing among 500, over the same without:

- in the simulator, five seeds;
- on sockets, the median of five alternations, through PostgreSQL, relay, Kafka, the sender and HTTP.

Before that: 1,000 events a second are committed for a while, and what arrives in that time is counted, with the CPU
that each part takes: where it is less, the part that cannot keep up is seen.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable
from random import Random

import asyncpg

from devstack import roles
from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.bench import cpu
from loadtest.bench.committer import Committer
from loadtest.bench.received import Received, mood, received_by
from loadtest.bench.report import Result
from loadtest.simulate.run import percentile
from loadtest.simulate.webhooks import Health, Webhooks

ENDPOINTS, HANGING, FAILING = 500, 10, 10
ALTERNATIONS, SEEDS = 5, 5
PHASE_SECONDS, REST_SECONDS = 15.0, 4.0
SIMULATED_SECONDS, SIMULATED_RATE = 60.0, 1_000.0
OFFERED, SUSTAIN_SECONDS, WARM_SECONDS = 1_000.0, 25.0, 5.0
SIMULATOR_TARGET, SOCKETS_TARGET = 1.05, 1.15
SHARE_OF_LIMIT, MOST_RATE = 0.4, 300.0
"""Alternations run well below what the machine can do: it is pacing that is measured, not a full machine."""


async def measure(seed: int) -> Result:
    """The value is the ratio on sockets."""
    began = time.monotonic()
    simulated = [simulate(seed + n, troubled=True) / simulate(seed + n, troubled=False) for n in range(SEEDS)]
    shape = Shape(clinics=ENDPOINTS, slow=0, down=0, seed=seed)
    schedule = {"WAITING_ROOM_WEBHOOK_RETRY_SECONDS": "5,300,1800,7200,18000,36000,36000"}
    stack = Stack(shape, RUN / "bench-webhooks", extra_env=schedule, progress=lambda line: None)
    try:
        await stack.start_servers()
        await _start(stack)
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            rate, behind, spent = await _sustained(stack, connection, seed)
            calm_rate = min(MOST_RATE, SHARE_OF_LIMIT * rate)
            p99s = await _alternations(stack, connection, seed, calm_rate)
        finally:
            await connection.close()
    finally:
        await stack.stop()
    ratios = [troubled / calm for calm, troubled in zip(p99s[False], p99s[True], strict=True)]
    ratio, in_simulator = statistics.median(ratios), statistics.median(simulated)
    return Result(
        name="webhooks",
        promise=f"p99 from commit of the others, {HANGING} hanging and {FAILING} failing among {ENDPOINTS}, over none",
        target=f"<= {SOCKETS_TARGET} on sockets (median of {ALTERNATIONS}), <= {SIMULATOR_TARGET} in the simulator",
        value=ratio,
        unit="times as long",
        passed=ratio <= SOCKETS_TARGET and in_simulator <= SIMULATOR_TARGET,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={
            f"in the simulator, median of {SEEDS} seeds": in_simulator,
            "on sockets, each alternation": _listed(ratios),
            "p99 from commit without trouble, s": _listed(p99s[False]),
            "p99 from commit with trouble, s": _listed(p99s[True]),
            f"events/s delivered with {OFFERED:.0f}/s committed": rate,
            "of these not delivered when commits ended": behind,
            **{f"CPU ms an event: {name}": each for name, each in spent.items()},
        },
        notes=[
            f"alternations at {calm_rate:.0f} events/s, {PHASE_SECONDS:.0f} s each; one relay, one webhooks worker",
            "everything, receivers and the committer included, on this machine",
        ],
    )


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def simulate(seed: int, *, troubled: bool, seconds: float = SIMULATED_SECONDS, rate: float = SIMULATED_RATE) -> float:
    """The p99 from commit of the endpoints that are well in both worlds."""
    healths = [Health.WELL] * ENDPOINTS
    if troubled:
        healths[:HANGING] = [Health.HANGS] * HANGING
        healths[HANGING : HANGING + FAILING] = [Health.FAILS] * FAILING
    world, chance = Webhooks(healths, seed), Random(f"events {seed}")
    at = 0.0
    others: list[float] = []
    while (at := at + chance.expovariate(rate)) < seconds:
        world.clock.run_until(at)
        number = chance.randrange(ENDPOINTS)
        if troubled or number >= HANGING + FAILING:
            world.commit(number)
    world.clock.run_until(seconds + 5.0)
    others.extend(world.waits)
    return percentile(sorted(others), 0.99)


async def _start(stack: Stack) -> None:
    stack.processes["receiver"] = stack.webhook_receiver()
    await stack.processes["receiver"].start()
    for role in ("relay", "webhooks"):
        process, _ = roles.worker(role, stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
        stack.processes[role] = process
        await process.start()


async def _sustained(
    stack: Stack, connection: asyncpg.Connection[asyncpg.Record], seed: int
) -> tuple[float, int, dict[str, float]]:
    """Events a second that arrived while OFFERED were committed, how many had not at the end, CPU ms an event."""
    committer = Committer(connection, [clinic["id"] for clinic in stack.world.clinics], Random(f"sustained {seed}"))
    await committer.run(OFFERED, WARM_SECONDS)
    before, began = cpu.of_stack(stack), time.time()
    await committer.run(OFFERED, SUSTAIN_SECONDS)
    ended = time.time()
    spent = cpu.spent(before, cpu.of_stack(stack))
    seen = await received_by(stack.receiver_url)
    within = sum(began <= each.at <= ended for each in seen)
    behind = len(committer.committed) - sum(each.at <= ended for each in seen)
    await _drained(stack, committer)
    rate = within / (ended - began)
    return rate, behind, {name: seconds * 1_000 / max(within, 1) for name, seconds in spent.items()}


async def _drained(stack: Stack, committer: Committer) -> None:
    async with asyncio.timeout(180):
        while len({each.key for each in await received_by(stack.receiver_url)} & set(committer.committed)) < len(
            committer.committed
        ):
            await asyncio.sleep(1.0)


async def _alternations(
    stack: Stack, connection: asyncpg.Connection[asyncpg.Record], seed: int, rate: float
) -> dict[bool, list[float]]:
    clinics = [clinic["id"] for clinic in stack.world.clinics]
    troubled = [f"hook-{clinic_id}" for clinic_id in clinics[: HANGING + FAILING]]
    p99s: dict[bool, list[float]] = {False: [], True: []}
    for number in range(ALTERNATIONS):
        for trouble in (False, True):
            for position, endpoint_id in enumerate(troubled):
                bad = {"hang": True} if position < HANGING else {"status": 500}
                await mood(stack.receiver_url, endpoint_id, bad if trouble else {"hang": False, "status": 204})
            committer = Committer(connection, clinics, Random(f"{seed} {number}"))
            await committer.run(rate, PHASE_SECONDS)
            await asyncio.sleep(REST_SECONDS)
            p99s[trouble].append(_p99(committer, await received_by(stack.receiver_url), set(clinics[len(troubled) :])))
    return p99s


def _p99(committer: Committer, seen: list[Received], wanted: set[str]) -> float:
    first: dict[tuple[str, int], float] = {}
    for each in seen:
        first[each.key] = min(each.at, first.get(each.key, each.at))
    of_wanted = {key: at for key, at in committer.committed.items() if key[0] in wanted}
    missing = [key for key in of_wanted if key not in first]
    assert not missing, f"{len(missing)} events have not arrived"
    return percentile(sorted(first[key] - at for key, at in of_wanted.items()), 0.99)
