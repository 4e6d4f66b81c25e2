"""Workers by what clinics need against workers by lag, on the same Monday with 5% of the clinics down.

1. In the simulator, 10,000 clinics, one partition each so that lag is what waits, a worker carries 25 calls: from six
   to nine o'clock. The lag scaler is KEDA's, with several thresholds; the peer is the cheapest of them that lets
   healthy clinics' patients wait no longer than ours does.
2. On sockets, 60 clinics with a partition each, a worker carries 24 calls: a quiet time, twelve times as many callers
   for a while, and a quiet time again; with the product's supervisor and with one that goes by lag, at the threshold
   that the simulator found, per call. Where there is a Prometheus, once more with the product's supervisor, going by
   the number that Prometheus records.

A worker's time counts from its start to its end, needed or not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from devstack import roles
from devstack.ports import free_port
from devstack.processes import Process
from devstack.stack import RUN, Stack, write_stack_file
from devstack.world import Shape
from loadtest.bench.report import Result
from loadtest.bench.sender import send
from loadtest.measure import LedgerRow
from loadtest.observe.prometheus import NoPrometheus, Prometheus
from loadtest.simulate.monday import EIGHT, HOUR, Monday
from loadtest.simulate.run import Outcome, percentile, run
from loadtest.simulate.scaling import ByLag, ByWait, Scaling
from loadtest.simulate.world import Rules

CLINICS, BOOKINGS, SIMULATED_CALLS = 10_000, 500_000, 25
THRESHOLDS = (300, 150, 100, 50)
"""Bookings a worker, the cheapest first; KEDA's own default is 5, which costs far more."""
TARGET_WAIT_SECONDS, MOST_WORKERS = 60.0, 256
NO_LONGER_SECONDS = 1.0
"""Waits that differ by less are equal."""

ON_SOCKETS, SOCKET_CALLS, SOCKET_WAIT_SECONDS = 60, 24, 20.0
RATE, TIMES, QUIET_SECONDS, SPIKE_SECONDS, WATCH_SECONDS = 10.0, 12, 15.0, 20.0, 135.0
DOWN_AFTER_SECONDS, MOST_ON_SOCKETS = 20.0, 16
DOWN_SHARE, TARGET = 0.05, 0.7
ACCEPT_SECONDS, ACCEPT_SHARE, DECIDE_SHARE = 0.2, 0.999, 0.99
"""Both service level objectives (dashboards/rules/slo.yaml)."""
FOLDER = RUN / "bench-autoscale"
RUNNING = "waiting_room_confirm_workers_running"


@dataclass(frozen=True)
class Run:
    """``wait``: the healthy clinics' p99 from held (in the simulator: accepted) to the first call, seconds."""

    worker_hours: float
    wait: float
    most_workers: int
    rebalances: int
    accepted: float | None = None
    """The share of callers told in time that they are in, or (429) when to come back."""
    decided: float | None = None
    """The share of bookings at clinics that are not down that are decided, and within what their callers were told."""

    @property
    def in_budget(self) -> bool:
        return (self.accepted or 0.0) >= ACCEPT_SHARE and (self.decided or 0.0) >= DECIDE_SHARE


async def measure(seed: int) -> Result:
    """The value is the ratio of worker-hours in the simulator."""
    began = time.monotonic()
    ours = _simulate(seed, ByWait(MOST_WORKERS, TARGET_WAIT_SECONDS))
    rows: dict[str, object] = {"simulated, by wait": _told(ours)}
    peer, threshold = None, 0
    for threshold in THRESHOLDS:
        by_lag = _simulate(seed, ByLag(MOST_WORKERS, threshold))
        rows[f"simulated, by lag / {threshold}"] = _told(by_lag)
        if by_lag.wait <= ours.wait + NO_LONGER_SECONDS:
            peer = by_lag
            break
    ratio = ours.worker_hours / peer.worker_hours if peer else 0.0
    on_sockets = await _on_sockets(seed, None)
    by_lag_on_sockets = await _on_sockets(seed, max(threshold * SOCKET_CALLS // SIMULATED_CALLS, 1))
    rows["on sockets, by wait"] = _told(on_sockets)
    try:
        rows["on sockets, by wait as Prometheus records it"] = _told(await _on_sockets(seed, None, recorded=True))
    except NoPrometheus as error:
        rows["on sockets, by wait as Prometheus records it"] = str(error)
    rows["on sockets, by lag"] = _told(by_lag_on_sockets)
    socket_ratio = on_sockets.worker_hours / by_lag_on_sockets.worker_hours
    rows["on sockets, ratio of worker-hours"] = socket_ratio
    no_longer = on_sockets.wait <= by_lag_on_sockets.wait + NO_LONGER_SECONDS
    return Result(
        name="autoscale",
        promise="worker-hours by what clinics need over those by lag, at equal or better waits at healthy clinics",
        target=f"<= {TARGET} in the simulator and on sockets",
        value=ratio,
        unit="times the worker-hours",
        passed=(peer is not None and ratio <= TARGET and socket_ratio <= TARGET and no_longer and on_sockets.in_budget),
        seed=seed,
        duration_seconds=time.monotonic() - began,
        peer={"worker-hours by lag, simulated": peer.worker_hours} if peer else {},
        rows=rows,
        notes=[
            f"simulator: {CLINICS:,} clinics, {BOOKINGS:,} bookings a day, {SIMULATED_CALLS} calls a worker, to 09:00",
            f"sockets: {ON_SOCKETS} clinics, {RATE:.0f} callers/s, {RATE * TIMES:.0f}/s for {SPIKE_SECONDS:.0f} of "
            f"{WATCH_SECONDS:.0f} s, {SOCKET_CALLS} calls a worker, which goes when it was not wanted for "
            f"{DOWN_AFTER_SECONDS:.0f} s",
            f"wanted: {ACCEPT_SHARE:.1%} told within {ACCEPT_SECONDS:g} s, {DECIDE_SHARE:.0%} decided in time",
            f"{DOWN_SHARE:.0%} of the clinics are down",
        ],
    )


def _told(each: Run) -> str:
    budgets = (
        ""
        if each.accepted is None or each.decided is None
        else f", {each.accepted:.2%} told and {each.decided:.2%} decided in time"
    )
    return (
        f"{each.worker_hours:.2f} worker-hours, p99 wait {each.wait:.1f} s, "
        f"{each.most_workers} workers at most, {each.rebalances} rebalances{budgets}"
    )


def _simulate(seed: int, scaling: Scaling) -> Run:
    monday = Monday.of(CLINICS, seed, classes={"down": DOWN_SHARE})
    rules = Rules(partitions=CLINICS, calls_max=SIMULATED_CALLS, commit_seconds=5.0)
    outcome: Outcome = run(monday, BOOKINGS, seed, rules, scaling=scaling, until=EIGHT + HOUR)
    wait = percentile(outcome.confirm_waits["healthy"], 0.99)
    return Run(outcome.worker_seconds / HOUR, wait, outcome.most_workers, outcome.rebalances)


async def _on_sockets(seed: int, threshold: int | None, *, recorded: bool = False) -> Run:
    """By lag with this threshold; None: as the product does it, ``recorded``: by what a Prometheus has of it.

    Raises NoPrometheus.
    """
    down = round(ON_SOCKETS * DOWN_SHARE)
    shape = Shape(
        clinics=ON_SOCKETS,
        partitions=ON_SOCKETS,
        slow=0,
        down=down,
        down_from_seconds=0.0,
        down_for_seconds=3_600.0,
        webhooks=False,
        seed=seed,
    )
    stack = Stack(shape, FOLDER, progress=lambda line: None, worker_roles=("hold", "relay", "sweep"))
    port, opened = free_port(), AsyncExitStack()
    try:
        await stack.start()
        write_stack_file(stack, FOLDER / "stack.json")
        env: dict[str, str] = {}
        if recorded:
            listed = [f"http://127.0.0.1:{port}/targets"]
            prometheus = Prometheus(FOLDER, stack.description["metrics_urls"], listed)
            await opened.enter_async_context(prometheus)
            env["WAITING_ROOM_CONFIRM_WORKERS_PROMETHEUS_URL"] = prometheus.url
        supervisor, url = _supervisor(stack, threshold, env, port)
        stack.processes["supervise"] = supervisor
        scalings_before = _scalings(stack)
        await supervisor.start()
        watching = asyncio.create_task(_watch(url))
        _, rows = await send(FOLDER, _plan(stack, seed))
        seconds, most = await watching
        clinics = [clinic["id"] for clinic in stack.world.clinics]
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            wait = float(await connection.fetchval(_WAITS, clinics[down:]))
            decided = float(await connection.fetchval(_DECIDED, clinics[down:]))
        finally:
            await connection.close()
        scalings = _scalings(stack) - scalings_before
        return Run(seconds / HOUR, wait, most, scalings, _told_in_time(rows), decided)
    finally:
        await opened.aclose()
        await stack.stop()


def _scalings(stack: Stack) -> int:
    """As many as the log tells of, which goes on from run to run."""
    log_file = stack.logs / "supervise.log"
    return log_file.read_text().count('"scaling"') if log_file.exists() else 0


def _plan(stack: Stack, seed: int) -> dict[str, object]:
    """Callers until all is quiet again."""
    return {
        "url": stack.description["ingress_url"],
        "app_key": stack.description["app_key"],
        "seed": seed,
        "profile": {
            "type": "surge",
            "rate": RATE,
            "times": TIMES,
            "begins_after": QUIET_SECONDS,
            "lasts_seconds": SPIKE_SECONDS,
            "seconds": WATCH_SECONDS - 10.0,
        },
    }


def _told_in_time(rows: Iterable[LedgerRow]) -> float:
    within = [
        row.status in (202, 429)
        and row.answered_at is not None
        and (row.answered_at - row.due_at).total_seconds() <= ACCEPT_SECONDS
        for row in rows
    ]
    return sum(within) / len(within)


def _supervisor(stack: Stack, threshold: int | None, more: dict[str, str], port: int) -> tuple[Process, str]:
    env = {
        **stack.env(),
        **more,
        "WAITING_ROOM_CONFIRM_CALLS_MAX": str(SOCKET_CALLS),
        "WAITING_ROOM_CONFIRM_WAIT_TARGET_SECONDS": str(SOCKET_WAIT_SECONDS),
        "WAITING_ROOM_CONFIRM_WORKERS_MAX": str(MOST_ON_SOCKETS),
        "WAITING_ROOM_CONFIRM_WORKERS_DOWN_AFTER_SECONDS": str(DOWN_AFTER_SECONDS),
    }
    module = ["workers", "supervise"] if threshold is None else ["loadtest.lag_scaler", str(threshold)]
    return roles.supervisor(module, env, stack.owner_dsn, stack.secrets, stack.logs, port)


async def _watch(url: str) -> tuple[float, int]:
    """(seconds of all workers together, the most at once)."""
    worker_seconds, most = 0.0, 0
    last = began = time.monotonic()
    async with aiohttp.ClientSession() as session:
        while last - began < WATCH_SECONDS:
            await asyncio.sleep(0.5)
            async with session.get(url) as response:
                running = _gauge(await response.text(), RUNNING)
            now = time.monotonic()
            worker_seconds += running * (now - last)
            most, last = max(most, round(running)), now
    return worker_seconds, most


def _gauge(text: str, name: str) -> float:
    return next(
        float(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )


_WAITS = """
SELECT percentile_cont(0.99) WITHIN GROUP (
    ORDER BY EXTRACT(EPOCH FROM coalesce(c.claimed_at, clock_timestamp()) - a.held_at)) AS p99
FROM appointments AS a
LEFT JOIN call_attempts AS c ON a.clinic_id = c.clinic_id AND a.booking_ref = c.booking_ref AND c.attempt = 1
WHERE a.clinic_id = any($1)
"""
"""One that was not called yet has waited until now."""

_DECIDED = """
SELECT avg((decided_at IS NOT NULL
    AND decided_at - accepted_at <= make_interval(secs => greatest(coalesce(eta_p90, 0), 900)))::integer) AS in_time
FROM appointments
WHERE clinic_id = any($1) AND accepted_at < clock_timestamp() - INTERVAL '30 seconds'
"""
"""As promised: within the p90 that was told, or 15 minutes if that is longer."""
