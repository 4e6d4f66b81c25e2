"""Runs as many confirm workers as their clinics need: asks each what that is, every second, and starts or ends some.

    desired = the calls that all clinics need / the calls one worker carries     (workers/pacing/need.py)

A cluster's autoscaler does the same from the same gauges; this is for one machine. Where there is a Prometheus that
scrapes the workers (``/targets`` says where each is), the number that it records is taken, as the autoscaler takes it.
What the supervisor says of itself: how many are desired, how many run, and how often it has caused a rebalance.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import count

import aiohttp
import structlog

from waiting_room.settings import Settings
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics
from waiting_room.telemetry.health import say_ready
from workers.pacing.need import workers_desired
from workers.supervise.child import Child
from workers.supervise.recorded import Recorded
from workers.supervise.scaling import Scaler

log = structlog.get_logger(__name__)
NAME = "supervise"
EVERY_SECONDS, ANSWER_SECONDS = 1.0, 1.0
STEP_SHARE = 0.25
"""Of the time that one worker too many is kept: the pause between two that go."""
MARGIN_SECONDS = 10.0
"""Beyond ``shutdown_seconds`` a worker flushes and leaves its group before it is killed."""

for _why in ("up", "down", "died"):
    metrics.REBALANCES.labels(_why)  # from nothing to one is no increase, from zero it is


def shutdown_seconds(settings: Settings) -> float:
    """How long the supervisor may take to end: as long as its workers, and a little."""
    return settings.shutdown_seconds + 2 * MARGIN_SECONDS


class Supervisor:
    """The workers inherit this process's environment, but for their names and their ports."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._least = settings.confirm_workers_min
        down_after_seconds = settings.confirm_workers_down_after_seconds
        self._scaler = Scaler(
            least=self._least,
            # A worker without a partition has nothing to do.
            most=max(min(settings.confirm_workers_max, settings.kafka_clinic_partitions), self._least),
            down_after_seconds=down_after_seconds,
            step_seconds=down_after_seconds * STEP_SHARE,
        )
        url = settings.confirm_workers_prometheus_url
        self._recorded = Recorded(url) if url else None
        self._desired_before = 0
        self._crew: list[Child] = []
        """Those that shall run, the oldest first."""
        self._names: set[str] = set()
        """Of those and of the ones that are leaving."""

    async def run(self, finish: asyncio.Event) -> None:
        """Watch and scale until told to finish; returns when every worker has ended."""
        limit = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=limit) as session, asyncio.TaskGroup() as group:
            self._go_to(self._least, group)
            while not finish.is_set():
                await self._look(session, group)
                await pause(finish, EVERY_SECONDS)
            for child in self._crew:
                child.leave()

    async def _look(self, session: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        answered = await asyncio.gather(*(child.ask(session) for child in self._crew))
        say_ready(NAME, ready=sum(answered) >= self._least)
        recorded = await self._recorded.ask(session) if self._recorded else None
        desired = await self.desired([child.needed for child in self._crew]) if recorded is None else recorded
        metrics.WORKERS_DESIRED.set(desired)
        # Asked between a rebalance and their next look at their lanes, two workers may both speak of one clinic.
        twice, self._desired_before = min(desired, self._desired_before), desired
        running = len(self._crew)
        wanted = self._scaler.decide(time.monotonic(), twice, running)
        if wanted != running:
            log.info("scaling", workers=running, wanted=wanted, desired=desired)
            metrics.REBALANCES.labels("up" if wanted > running else "down").inc()
            self._go_to(wanted, group)
        metrics.WORKERS_RUNNING.set(sum(child.running for child in self._crew))

    @property
    def ports(self) -> list[int]:
        """Where the workers that run serve their metrics."""
        return [child.port for child in self._crew if child.port is not None]

    async def desired(self, needed: Sequence[float]) -> int:
        """Workers for the calls that each worker says its clinics need."""
        return workers_desired(needed, self._settings.confirm_calls_max)

    def _go_to(self, wanted: int, group: asyncio.TaskGroup) -> None:
        while len(self._crew) < wanted:
            child = self._next()
            self._crew.append(child)
            self._names.add(child.worker_id)
            group.create_task(self._keep(child), name=child.worker_id)
        while len(self._crew) > wanted:
            self._crew.pop().leave()

    async def _keep(self, child: Child) -> None:
        await child.run()
        self._names.discard(child.worker_id)

    def _next(self) -> Child:
        """Names are used again once they are free: what a worker said under its name is replaced, not left behind."""
        names = (f"{self._settings.worker_id}-{number}" for number in count(1))
        return Child(
            next(name for name in names if name not in self._names),
            self._settings.metrics_host,
            leave_seconds=self._settings.shutdown_seconds + MARGIN_SECONDS,
            died=metrics.REBALANCES.labels("died").inc,
        )
