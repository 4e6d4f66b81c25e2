"""When a booking will be decided, from the line before it and the pace of its clinic. Pure; all times in seconds.

A clinic that takes c calls side by side, each of mean m and standard deviation s, ends n of them after n * m / c on
average, with a variance of n * (s / c)**2 (renewal theory: c independent renewal processes). The booking at place k
starts its own call when k - c of those before it have ended.

The larger uncertainty is the pace itself: it is a running mean over a few dozen calls, and it drifts.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import msgspec

PACE_UNCERTAINTY: Final = 0.1
"""Relative standard deviation of a pace that is taken to hold for as long as the line lasts; measured by the ``eta``
benchmark, which wants nine tenths of all outcomes within p90."""

NORMAL_P90: Final = 1.2816
"""The standard normal distribution's 90% quantile."""


class Eta(msgspec.Struct, frozen=True, gc=False):
    """Seconds from now until the booking is decided: in half of all cases within p50, in nine of ten within p90."""

    p50: float
    p90: float


class Pace(msgspec.Struct, frozen=True, gc=False):
    """How fast a clinic's line moves: ``limit`` calls side by side, each of this length with all around it."""

    limit: float
    call_seconds: float
    call_sigma_seconds: float

    def wait(self, place: int) -> tuple[float, float]:
        """Mean and standard deviation until the booking at ``place`` (1: next) is decided."""
        before = max(0.0, place - self.limit)
        mean = before * self.call_seconds / self.limit + self.call_seconds
        by_chance = self.call_sigma_seconds * sqrt(before / self.limit**2 + 1)
        return mean, sqrt(by_chance**2 + (PACE_UNCERTAINTY * mean) ** 2)

    def eta(self, place: int, longest: float) -> Eta:
        """``longest``: by then it is decided in any case, be it that it is given up."""
        mean, sigma = self.wait(place)
        return Eta(round(min(mean, longest), 1), round(min(mean + NORMAL_P90 * sigma, longest), 1))
