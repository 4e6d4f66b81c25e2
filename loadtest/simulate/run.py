"""One simulated day, and what it came to."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from math import ceil

from loadtest.simulate.callers import Callers
from loadtest.simulate.monday import CLOSES, OPENS, Monday
from loadtest.simulate.scaling import Scaling
from loadtest.simulate.world import Rules, World
from waiting_room.domain.appointment import Status

LOOK_SECONDS = 10.0


@dataclass(slots=True)
class Outcome:
    """Waits in seconds, by class of clinic, each list sorted: accepted until the first call, until decided."""

    accepted: int = 0
    refused: int = 0
    let_in_when_told: int = 0
    gave_up: int = 0
    confirmed: int = 0
    rejected: int = 0
    waiting: int = 0
    calls: int = 0
    rebalances: int = 0
    worker_seconds: float = 0.0
    most_workers: int = 0
    workers: list[tuple[float, int, int]] = field(default_factory=list)
    """(moment, wanted, running), every LOOK_SECONDS."""
    confirm_waits: dict[str, list[float]] = field(default_factory=dict)
    decide_waits: dict[str, list[float]] = field(default_factory=dict)
    eta_within: int = 0
    eta_told: int = 0
    eta_errors: list[float] = field(default_factory=list)
    """Relative, of waits over 10 s."""
    wall_seconds: float = 0.0


def percentile(values: list[float], share: float) -> float:
    """Of a sorted list: the smallest that at least this share does not exceed; 0 of an empty one."""
    return values[max(ceil(share * len(values)) - 1, 0)] if values else 0.0


def run(
    monday: Monday,
    bookings: int,
    seed: int,
    rules: Rules,
    *,
    scaling: Scaling,
    until: float = CLOSES + 3 * 3_600.0,
    remembered: World | None = None,
) -> Outcome:
    """A day with as many workers as ``scaling`` says at each moment. ``remembered``: yesterday's world."""
    began = time.perf_counter()
    world = World(monday.behaviours, rules, seed)
    if remembered is not None:
        world.memory.update(remembered.learnt())
    callers, outcome = Callers(world), Outcome()
    world.clock.run_until(OPENS - 60.0)
    world.join(scaling.decide(world, 0).workers)
    arrivals = monday.arrivals(bookings, seed)

    def arrive() -> None:
        """The next booking is drawn when the one before it has come: the day is not kept in memory."""
        for moment, clinic_id in arrivals:
            outcome.accepted += 1
            world.clock.after(moment - world.clock.now, post, clinic_id)
            return

    def post(clinic_id: str) -> None:
        callers.post((clinic_id, f"{clinic_id}-{outcome.accepted}"))
        arrive()

    def look() -> None:
        running = len(world.workers)
        decision = scaling.decide(world, running)
        outcome.workers.append((world.clock.now, decision.wanted, running))
        outcome.worker_seconds += running * LOOK_SECONDS
        _scale(world, decision.workers)
        if world.clock.now < until:
            world.clock.after(LOOK_SECONDS, look)

    arrive()
    look()
    world.clock.run_until(until)
    _summarise(world, callers, monday, outcome)
    outcome.most_workers = max(running for _, _, running in outcome.workers)
    outcome.wall_seconds = time.perf_counter() - began
    return outcome


def _scale(world: World, wanted: int) -> None:
    running = len(world.workers)
    if wanted > running:
        world.join(wanted - running)
    for worker in sorted(world.workers, key=lambda each: each.name)[wanted:]:
        world.leave(worker)


def _summarise(world: World, callers: Callers, monday: Monday, outcome: Outcome) -> None:
    confirm, decide = defaultdict(list), defaultdict(list)
    for booking in world.store.decided:
        kind = monday.kinds[booking.key[0]]
        assert booking.decided is not None
        waited = booking.decided - booking.accepted
        decide[kind].append(waited)
        if booking.first_call is not None:
            confirm[kind].append(booking.first_call - booking.accepted)
        if booking.state.status is Status.CONFIRMED and booking.eta is not None:
            outcome.eta_told += 1
            outcome.eta_within += waited <= booking.eta[1]
            if waited > 10.0:
                outcome.eta_errors.append(abs(waited - booking.eta[0]) / waited)
    outcome.confirm_waits = {kind: sorted(waits) for kind, waits in sorted(confirm.items())}
    outcome.decide_waits = {kind: sorted(waits) for kind, waits in sorted(decide.items())}
    outcome.eta_errors.sort()
    statuses = [booking.state.status for booking in world.store.bookings.values()]
    outcome.confirmed, outcome.rejected = statuses.count(Status.CONFIRMED), statuses.count(Status.REJECTED)
    outcome.waiting = statuses.count(Status.PENDING)
    outcome.accepted, outcome.refused = callers.accepted, callers.refused
    outcome.let_in_when_told, outcome.gave_up = callers.let_in_when_told, len(callers.gave_up)
    outcome.calls, outcome.rebalances = world.calls, world.rebalances
