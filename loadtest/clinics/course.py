"""What becomes of a call, decided once, when it arrives. Pure: draws, clock and load are given."""

import math
from enum import StrEnum
from random import Random
from statistics import NormalDist
from typing import NamedTuple

from loadtest.clinics.behaviour import ClinicBehaviour, OutageKind


class Fate(StrEnum):
    OK = "ok"
    REFUSED = "refused"  # a booking gets 409; look-ups and withdrawals are carried out
    DROPPED = "dropped"  # carried out, then the connection is dropped
    LATE = "late"  # carried out long after the caller gave up; never answered
    HUNG = "hung"  # nothing is done, nothing is answered
    ERROR = "error"  # 500 at once
    OVERLOADED = "overloaded"  # 503 or 429 at once
    DOWN = "down"  # outage: 503 at once
    CUT = "cut"  # outage: connection reset at once


class Course(NamedTuple):
    """`after_seconds`: from arrival until it is carried out (and, unless late, answered).

    0 means at once, infinity never. `admitted` calls are in flight until then, or, when hung, until the
    caller leaves; the others are turned away at once.
    """

    fate: Fate
    after_seconds: float
    admitted: bool = True


AT_ONCE = Course(Fate.OK, 0.0)
_ERROR = Course(Fate.ERROR, 0.0, admitted=False)
_OVERLOADED = Course(Fate.OVERLOADED, 0.0, admitted=False)
_HUNG = Course(Fate.HUNG, math.inf)
_DURING_OUTAGE: dict[OutageKind, Course] = {
    "refuse_connection": Course(Fate.CUT, 0.0, admitted=False),
    "hang": _HUNG,
    "503": Course(Fate.DOWN, 0.0, admitted=False),
}
_LEAST_DRAW = 1e-12  # the quantile function is open at 0
_standard_normal_quantile = NormalDist().inv_cdf


class Dice:
    """A clinic's own randomness: call n gets the same draws for the same seed and clinic, come what may.

    Each call takes exactly two draws, so a changed behaviour shifts nobody else's luck.
    """

    def __init__(self, seed: int, clinic_id: str) -> None:
        self._draw = Random(f"{seed}:{clinic_id}").random

    def throw(self) -> tuple[float, float]:
        """Two draws from [0, 1): one for the fate, one for the latency."""
        return self._draw(), self._draw()


def decide(behaviour: ClinicBehaviour, in_flight: int, elapsed_seconds: float, draws: tuple[float, float]) -> Course:
    """The course of a call that finds `in_flight` others there; `elapsed_seconds` since the simulator's start.

    An outage goes before everything; a hang before overload, since a system that hangs does not find out
    that it is full. The other fates share the calls that are taken on.
    """
    outage = behaviour.outage_at(elapsed_seconds)
    if outage is not None:
        return _DURING_OUTAGE[outage]
    fate_draw, latency_draw = draws
    bound = behaviour.hang_rate
    if fate_draw < bound:
        return _HUNG
    load = in_flight + 1
    if behaviour.rejects(load):
        return _OVERLOADED
    bound += behaviour.error_rate
    if fate_draw < bound:
        return _ERROR
    seconds = _latency_seconds(behaviour, load, latency_draw)
    fate = Fate.OK
    if fate_draw < (bound := bound + behaviour.refuse_rate):
        fate = Fate.REFUSED
    elif fate_draw < (bound := bound + behaviour.drop_rate):
        fate = Fate.DROPPED
    elif fate_draw < bound + behaviour.late_rate:
        fate = Fate.LATE
        seconds = max(seconds, behaviour.late_after)
    return Course(fate, min(seconds, behaviour.processing_limit) * behaviour.time_scale)


def _latency_seconds(behaviour: ClinicBehaviour, load: int, draw: float) -> float:
    """The `draw` quantile, unscaled. Beyond capacity it grows with load / capacity (sharing a processor)."""
    if behaviour.instant:
        return 0.0
    sigma = behaviour.latency_sigma
    normal = _standard_normal_quantile(max(draw, _LEAST_DRAW))
    drawn = behaviour.latency_mean * math.exp(sigma * normal - sigma * sigma / 2)
    seconds = min(max(drawn, behaviour.latency_min), behaviour.latency_max) * behaviour.slow_factor
    if load > behaviour.capacity:
        seconds *= load / behaviour.capacity
    return seconds
