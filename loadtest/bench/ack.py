"""How fast a patient is told "we have your booking", with everything else going on, and what that costs.

Three measurements on one stack of 500 clinics over HTTP (1-3 s a call):
1. 1,000 bookings/s, open loop, for 60 s, while holds and confirms run.
2. Twice what ingress can take at the most: the answers, refusals included, still come in time.
3. In turns with a bare handler that decodes and awaits the same produce: CPU a request and p50, workers stopped.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.ports import free_port
from devstack.processes import Process
from devstack.roles import ROOT, WORKER_ROLES
from devstack.stack import RUN, Stack, write_stack_file
from devstack.world import Shape
from loadtest.bench import bare, cpu
from loadtest.bench.report import Result
from loadtest.bench.sender import send
from loadtest.measure import SendResult

RATE, SECONDS = 1_000, 60
CLINICS = 500
OVERLOAD_SECONDS = 15
STEPS, STEP_SECONDS = (2_000, 3_000, 4_000, 5_000, 6_000, 7_000), 5
TURNS, TURN_RATE, TURN_SECONDS = 9, 500, 8
TARGET_MS, GOAL_P99_MS, GOAL_P50_MS, TARGET_RATIO = 200.0, 50.0, 5.0, 1.5
FOLDER = RUN / "bench-ack"


async def measure(seed: int) -> Result:
    """All three; the value is the accept p99 of the first."""
    began = time.monotonic()
    shape = Shape(clinics=CLINICS, partitions=512, slow=0, down=0, seed=seed)
    stack = Stack(shape, FOLDER)
    try:
        await stack.start()
        write_stack_file(stack, FOLDER / "stack.json")
        await _send(stack, 200, 5, seed)  # every process's first second is its slowest
        before = cpu.of_stack(stack)
        main = await _send(stack, RATE, SECONDS, seed + 1)
        shares = cpu.spent(before, cpu.of_stack(stack))
        most, overloaded = await _overload(stack, seed + 2)
        turns = await _turns(stack, seed + 10)
    finally:
        await stack.stop()
    return _result(seed, time.monotonic() - began, main, shares, most, overloaded, turns)


async def _overload(stack: Stack, seed: int) -> tuple[float, SendResult]:
    """(the most ingress accepts a second, whatever is offered; the figures at twice that rate)."""
    most = 0.0
    for rate in STEPS:
        offered = await _send(stack, rate, STEP_SECONDS, seed)
        most = max(most, offered.statuses.get(202, 0) / offered.seconds)
        await asyncio.sleep(2)
    return most, await _send(stack, round(2 * most), OVERLOAD_SECONDS, seed + 1)


async def _turns(stack: Stack, seed: int) -> dict[str, list[dict[str, float]]]:
    """CPU a request and p50, ours and the bare handler's, turn by turn."""
    await asyncio.gather(*(stack.processes[role].stop() for role in WORKER_ROLES))
    await stack.processes["clinics"].stop()
    handler, url = await _start_bare(stack)
    measured: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
    targets = {"ours": (stack.processes["ingress"].pid, None), "bare": (handler.pid, url)}
    try:
        for turn in range(TURNS + 1):
            for name, (pid, address) in targets.items():
                before = cpu.of(pid)
                sent = await _send(stack, TURN_RATE, TURN_SECONDS, seed + turn, address)
                if turn and sent.accepted_latency_ms:  # the first turn warms both up
                    measured[name].append(
                        {"cpu_ms": (cpu.of(pid) - before) / sent.requests * 1_000, "p50": sent.accepted_latency_ms.p50}
                    )
    finally:
        await handler.stop()
    return measured


async def _start_bare(stack: Stack) -> tuple[Process, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(bare.TOPIC, stack.shape.partitions, 1)])
    finally:
        await admin.close()
    port = free_port()
    env = {
        **os.environ,
        bare.PORT_VARIABLE: str(port),
        bare.KAFKA_VARIABLE: stack.kafka_address,
        bare.PARTITIONS_VARIABLE: str(stack.shape.partitions),
    }
    handler = Process(
        "bare",
        [sys.executable, "-m", "loadtest.bench.bare"],
        env=env,
        cwd=ROOT,
        log_file=stack.logs / "bare.log",
        ready_url=f"http://127.0.0.1:{port}/readyz",
    )
    await handler.start()
    return handler, f"http://127.0.0.1:{port}"


async def _send(stack: Stack, rate: float, seconds: float, seed: int, url: str | None = None) -> SendResult:
    """One open-loop run."""
    plan = {
        "url": url or stack.description["ingress_url"],
        "app_key": stack.description["app_key"],
        "seed": seed,
        "rate": rate,
        "seconds": seconds,
    }
    return (await send(FOLDER, plan))[0]


def _result(
    seed: int,
    duration: float,
    main: SendResult,
    shares: dict[str, float],
    most: float,
    overloaded: SendResult,
    turns: dict[str, list[dict[str, float]]],
) -> Result:
    accept, overload = main.accepted_latency_ms, overloaded.latency_ms
    assert accept is not None
    assert overload is not None
    ours, peer = ({key: statistics.median(each[key] for each in turns[name]) for key in ("cpu_ms", "p50")}
                  for name in ("ours", "bare"))  # fmt: skip
    ratios = {
        key: statistics.median(a[key] / b[key] for a, b in zip(turns["ours"], turns["bare"], strict=True))
        for key in ("cpu_ms", "p50")
    }
    all_accepted = main.statuses.get(202, 0) == main.requests
    rows: dict[str, Any] = {
        "accept p50, ms (goal < 5)": accept.p50,
        "accept p99, ms (goal < 50)": accept.p99,
        "accept p99.9, ms": accept.p999,
        "offered, requests/s": main.achieved_rate,
        "answers by status": main.statuses,
        "sender's own lateness p99, ms": main.lateness_ms.p99 if main.lateness_ms else None,
        "most accepted, requests/s": most,
        "at twice that: offered, requests/s": overloaded.achieved_rate,
        "at twice that: p99 of all answers, ms": overload.p99,
        "at twice that: answers by status": overloaded.statuses,
        "CPU a request, ms (ours)": ours["cpu_ms"],
        "CPU a request, ours / bare (<= 1.5)": ratios["cpu_ms"],
        "p50, ours / bare (<= 1.5)": ratios["p50"],
        **{f"CPU ms a booking: {name}": seconds * 1_000 / main.requests for name, seconds in shares.items()},
    }
    passed = (
        all_accepted
        and accept.p99 < TARGET_MS
        and overload.p99 < TARGET_MS
        and ratios["cpu_ms"] <= TARGET_RATIO
        and ratios["p50"] <= TARGET_RATIO
    )
    return Result(
        name="ack",
        promise="accept p99 at 1,000 bookings/s over 500 clinics while holds and confirms run, one machine",
        target="< 200 ms; also at 2x saturation; CPU and p50 <= 1.5x a bare handler's",
        value=accept.p99,
        unit="ms",
        passed=passed,
        seed=seed,
        duration_seconds=duration,
        peer={"bare handler: CPU a request, ms": peer["cpu_ms"], "bare handler: p50, ms": peer["p50"]},
        rows=rows,
    )
