"""What a lane shows of itself: how it stands, and why its line waits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workers.pacing.lane import Lane


class Why(StrEnum):
    """Why bookings wait. More workers help the first kind only."""

    WORKER = "worker"
    """The worker makes as many calls as it may, over all clinics."""
    CLINIC = "clinic"
    """The clinic has as many calls as it takes, or asked for a pause."""
    BREAKER = "breaker"
    """The clinic is taken to be down."""
    PARKED = "parked"
    """Nothing is due: each has a time of its own to be tried again."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """``why`` is None while nothing waits. ``overflows``: more of its line is in PostgreSQL only. ``ours``: it is not
    just what is still under way at a clinic that is another worker's by now.
    """

    limit: int
    in_flight: int
    waiting: int
    breaker_open: bool
    overflows: bool = False
    why: Why | None = None
    ours: bool = True


def view_of(lane: Lane, now: float, *, for_worker: bool) -> LaneView:
    """``for_worker``: it could start a call if the worker's budget allowed it."""
    down, ours = lane.breaker.open, bool(lane.sources)
    why = None
    if down and ours and (lane.waiting_all or lane.overflow.on):
        why = Why.BREAKER
    elif for_worker:
        why = Why.WORKER
    elif lane.waiting_all:
        why = Why.CLINIC if lane.has_due(now) or lane.in_flight else Why.PARKED
    return LaneView(lane.limit.allowed(now), lane.in_flight, lane.waiting_all, down, lane.overflow.on, why, ours)
