"""How long a clinic's calls take by how many it has in flight, and from where on more of them only make it slower.

A clinic that takes c calls side by side answers n > c of them at the pace of c: each then takes n/c times as long, be
it because they share a processor or because they queue (Little's law). Up to c, the number makes no difference. So
the logarithm of a call's time is a constant up to c and rises with log(n/c) from there. ``knee_below`` asks which c
fits best what was seen, by least squares; the noise is taken to be normal, as it is for lognormal latencies.
"""

from __future__ import annotations

from math import log
from typing import Final, NamedTuple

HALF_LIFE_CALLS, HALF_LIFE_ROUNDS = 200, 50
"""After so many calls, and so many rounds of calls side by side, a sample counts half: a clinic's pace at noon says
little about its pace in the evening."""

_LEAST_VARIANCE: Final = 0.02
_FIRST_VARIANCE, _FIRST_WEIGHT = 0.09, 8.0
"""Of the logarithm, before much was seen: most calls within a factor of 2."""

_KNOWN_WEIGHT: Final = 2.0
_AS_GOOD: Final = 0.3
"""In units of log-likelihood: knees that fit nearly as well, of which the largest is believed."""


class Knee(NamedTuple):
    """``calls`` are what the clinic takes; ``evidence`` is the log-likelihood ratio for any such knee against none."""

    calls: int
    evidence: float


class Curve:
    """What was seen, older calls counting less."""

    def __init__(self) -> None:
        self._weights: list[float] = []
        self._sums: list[float] = []
        self._unit = 1.0  # what a call counts now; grows instead of everything else shrinking
        self._squares = _FIRST_VARIANCE * _FIRST_WEIGHT
        self._squares_weight = _FIRST_WEIGHT

    def add(self, in_flight: int, log_seconds: float) -> None:
        """A call that began as the ``in_flight``-th has ended."""
        while len(self._weights) <= in_flight:
            self._weights.append(0.0)
            self._sums.append(0.0)
        self._age(max(HALF_LIFE_CALLS, HALF_LIFE_ROUNDS * in_flight))
        weight = self._weights[in_flight]
        if weight > _KNOWN_WEIGHT * self._unit:
            off = log_seconds - self._sums[in_flight] / weight
            self._squares = 0.99 * self._squares + off * off
            self._squares_weight = 0.99 * self._squares_weight + 1.0
        self._weights[in_flight] += self._unit
        self._sums[in_flight] += self._unit * log_seconds

    def usual(self, in_flight: int, *, least_calls: float) -> float | None:
        """The mean log seconds at this many, if at least so many calls speak for it."""
        if in_flight >= len(self._weights) or self._weights[in_flight] < least_calls * self._unit:
            return None
        return self._sums[in_flight] / self._weights[in_flight]

    def knee_below(self, in_flight: int) -> Knee | None:
        """The best knee below ``in_flight``; None where nothing could tell one."""
        points = [
            (n, weight / self._unit, total / weight)
            for n, (weight, total) in enumerate(zip(self._weights, self._sums, strict=True))
            if weight > 0.01 * self._unit
        ]
        if len(points) < 2:
            return None
        misfits = {knee: self._misfit(points, knee) for knee in range(1, points[-1][0] + 1)}
        below = {knee: misfit for knee, misfit in misfits.items() if knee < in_flight}
        if not below:
            return None
        best = min(below.values())
        without = min((misfit for knee, misfit in misfits.items() if knee >= in_flight), default=misfits[points[-1][0]])
        largest = max(knee for knee, misfit in below.items() if misfit <= best + _AS_GOOD)
        return Knee(largest, without - best)

    def _misfit(self, points: list[tuple[int, float, float]], knee: int) -> float:
        """The negative log-likelihood, but for a constant, of a knee at this many calls."""
        flat = [(weight, mean - (log(n / knee) if n > knee else 0.0)) for n, weight, mean in points]
        level = sum(weight * value for weight, value in flat) / sum(weight for weight, _ in flat)
        variance = max(self._squares / self._squares_weight, _LEAST_VARIANCE)
        return sum(weight * (value - level) ** 2 for weight, value in flat) / (2.0 * variance)

    def _age(self, half_life_calls: int) -> None:
        self._unit *= 2.0 ** (1.0 / half_life_calls)
        if self._unit > 1e6:
            self._weights = [weight / self._unit for weight in self._weights]
            self._sums = [total / self._unit for total in self._sums]
            self._unit = 1.0
