"""How many confirm workers a simulated day has: as the product decides it, and as others do. ``now`` is virtual."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple, Protocol

from loadtest.simulate.world import World
from workers.pacing.need import Growth, calls_needed, workers_desired
from workers.supervise.scaling import Scaler

DOWN_AFTER_SECONDS = 300.0
"""Of both scalers: a worker goes when it was not wanted for so long. It is the default of Kubernetes' autoscaler
(``stabilizationWindowSeconds``), which KEDA drives."""


class Decision(NamedTuple):
    """``wanted`` at this moment, and how many there shall be."""

    wanted: int
    workers: int


class Scaling(Protocol):
    """Asked every few seconds."""

    def decide(self, world: World, running: int) -> Decision: ...


@dataclass(frozen=True)
class Fixed:
    """So many, whatever happens; what would be wanted is said all the same."""

    workers: int
    target_wait_seconds: float
    growth: Growth = field(default_factory=Growth)

    def decide(self, world: World, running: int) -> Decision:
        return Decision(_by_wait(world, self.growth, self.target_wait_seconds), self.workers)


class ByWait:
    """The product's: the calls that meet the wait target, as far as clinics take them (``pacing/need.py``)."""

    def __init__(self, most: int, target_wait_seconds: float) -> None:
        self._target_wait_seconds = target_wait_seconds
        self._growth = Growth()
        self._scaler = Scaler(least=1, most=most, down_after_seconds=DOWN_AFTER_SECONDS)

    def decide(self, world: World, running: int) -> Decision:
        wanted = _by_wait(world, self._growth, self._target_wait_seconds)
        return Decision(wanted, self._scaler.decide(world.clock.now, wanted, running))


class ByLag:
    """KEDA's Kafka scaler: ceil(lag / threshold), never more than partitions; up at once, down to the most that was
    wanted within the stabilization window.

    Lag is what is not committed yet. (https://keda.sh/docs/latest/scalers/apache-kafka/)
    """

    def __init__(self, most: int, threshold: int) -> None:
        self._most = most
        self._threshold = threshold
        self._wanted: deque[tuple[float, int]] = deque()

    def decide(self, world: World, running: int) -> Decision:
        lag = sum(len(log.records) - log.committed for log in world.logs.values())
        wanted = min(max(ceil(lag / self._threshold), 1), world.rules.partitions, self._most)
        now = world.clock.now
        self._wanted.append((now, wanted))
        while self._wanted[0][0] < now - DOWN_AFTER_SECONDS:
            self._wanted.popleft()
        return Decision(wanted, max(each for _, each in self._wanted))


def _by_wait(world: World, growth: Growth, target_wait_seconds: float) -> int:
    now = world.clock.now
    grows = {clinic_id: growth.saw(clinic_id, int(now), line, now) for clinic_id, line in world.store.lines.items()}
    lines = [clinic_id for clinic_id, line in world.store.lines.items() if line]
    needed = (_needed(world, each, grows[each], target_wait_seconds) for each in lines)
    return workers_desired(needed, world.rules.calls_max)


def _needed(world: World, clinic_id: str, growth: float, target_wait_seconds: float) -> int:
    owner = world.owner_of(world.partition_of[clinic_id])
    pace = owner.paces.get(clinic_id) if owner else None
    limit = owner.lanes.limit_of(clinic_id) if owner else None
    return calls_needed(
        line=world.store.lines[clinic_id],
        call_seconds=(pace.slot.mean if pace else None) or 2.0,
        limit=1 if limit is None else limit.allowed(world.clock.now),
        breaker_open=world.is_down(clinic_id),
        wait_target_seconds=target_wait_seconds,
        growth=growth,
    )
