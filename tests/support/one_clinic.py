"""One simulated clinic with a line that never empties, worked off under a limit, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from loadtest.clinics.behaviour import ClinicBehaviour
from loadtest.clinics.clinic import Clinic
from loadtest.clinics.course import Course, Fate
from workers.pacing.limit import Limit

ROUND_TRIP_SECONDS = 0.015
"""From an answer until the next call may start: what claiming it costs."""


@dataclass(frozen=True, slots=True)
class Drained:
    """``efficiency``: calls in flight up to the capacity, over it, until the line was empty."""

    efficiency: float
    overloads: float
    latency_ratio: float


@dataclass
class _Line:
    limit: Limit
    clinic: Clinic
    left: int
    now: float = 0.0
    in_flight: int = 0
    calls: int = 0
    overloads: int = 0
    seconds: list[float] = field(default_factory=list)
    events: list[tuple[float, int, str, Any]] = field(default_factory=list)
    number: int = 0

    def at(self, moment: float, what: str, about: Any = None) -> None:
        self.number += 1
        heappush(self.events, (moment, self.number, what, about))

    def start(self) -> None:
        while self.left and self.in_flight < self.limit.allowed(self.now):
            self.left -= 1
            self.in_flight += 1
            self.calls += 1
            self.limit.on_start(self.now, self.in_flight)
            course = self.clinic.arrive(self.now)
            if course.fate is Fate.OK:
                self.at(self.now + course.after_seconds, "left", course)
            self.at(self.now + course.after_seconds + ROUND_TRIP_SECONDS, "heard", (course, self.in_flight, self.now))
        wake_at = self.limit.wake_at(self.now)
        if wake_at is not None and self.left:
            self.at(wake_at, "wake")

    def step(self) -> None:
        self.now, _, what, about = heappop(self.events)
        if what == "left":
            self.clinic.leave(about, self.now)
        elif what == "change":
            self.clinic.change(about, self.now)
        elif what == "heard":
            self._heard(*about)
        self.start()

    def _heard(self, course: Course, in_flight: int, began: float) -> None:
        self.in_flight -= 1
        if course.fate is Fate.OK:
            self.seconds.append(course.after_seconds)
            self.limit.on_success(self.now, in_flight, self.now - began)
        else:
            self.overloads += 1
            self.left += 1
            self.limit.on_overload(self.now, in_flight, None)


def drain(limit: Limit, behaviour: ClinicBehaviour, *, bookings: int, seed: int) -> Drained:
    """Until so many bookings are decided."""
    line = _Line(limit, Clinic("000A", behaviour, seed, lambda _: None), bookings)
    line.start()
    while line.left:
        line.step()
    efficiency = line.clinic.stats(line.now).busy_seconds / (behaviour.capacity * line.now)
    while line.events:
        line.step()
    mean = sum(line.seconds) / len(line.seconds)
    return Drained(efficiency, line.overloads / line.calls, mean / behaviour.latency_mean)


def watch(
    limit: Limit,
    before: ClinicBehaviour,
    after: ClinicBehaviour,
    *,
    change_at: float,
    until: float,
    seed: int,
) -> list[int]:
    """What was allowed, looked at every second, at a clinic that becomes another one."""
    line = _Line(limit, Clinic("000A", before, seed, lambda _: None), left=10**9)
    line.at(change_at, "change", after)
    line.start()
    seen: list[int] = []
    while line.now < until:
        line.step()
        if line.now > len(seen) + 1:
            seen.append(max(line.in_flight, 1))
    return seen
