"""When a booking will be decided, from the line before it and the pace of its clinic. Pure; all times in seconds.

A clinic that takes c bookings side by side, each taking one of its slots for a time of mean m and standard deviation
s, is done with n of them after n * m / c on average, with a variance of n * (s / c)**2 (renewal theory: c independent
renewal processes). The booking at place k starts its own first call when k - c of those before it are done with; from
then on it takes what bookings of this clinic take, retries and look-ups included.

The larger uncertainty is the pace itself: it is a running mean over a few dozen calls, and it drifts.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import msgspec

PACE_UNCERTAINTY: Final = 0.05
"""Relative standard deviation of a pace that is taken to hold for as long as the line lasts; measured by the ``eta``
benchmark, which wants nine tenths of all outcomes within p90."""

UNTIL_CALLED_SECONDS: Final = 0.08
"""From the answer to the caller until the clinic call of a booking that waits for nobody: hold's batch, two records in
Kafka, the claim. Measured by the ``eta`` benchmark."""

NORMAL_P90: Final = 1.2816
"""The standard normal distribution's 90% quantile."""


class Eta(msgspec.Struct, frozen=True, gc=False):
    """Seconds from now until the booking is decided: in half of all cases within p50, in nine of ten within p90."""

    p50: float
    p90: float


class Pace(msgspec.Struct, frozen=True, gc=False):
    """How fast a clinic's line moves: ``limit`` bookings side by side, each taking its slot for this long.

    ``decide_seconds``: from a booking's first call until it is decided; None: as long as it takes a slot.
    """

    limit: float
    call_seconds: float
    call_sigma_seconds: float
    decide_seconds: float | None = None
    decide_sigma_seconds: float = 0.0

    def wait(self, place: int) -> tuple[float, float]:
        """Mean and standard deviation until the booking at ``place`` (1: next), if it is held, is decided."""
        before = max(0.0, place - self.limit)
        own, own_sigma = self.decide_seconds, self.decide_sigma_seconds
        if own is None:
            own, own_sigma = self.call_seconds, self.call_sigma_seconds
        mean = before * self.call_seconds / self.limit + own
        by_chance = before * (self.call_sigma_seconds / self.limit) ** 2 + own_sigma**2
        return mean, sqrt(by_chance + (PACE_UNCERTAINTY * mean) ** 2)

    def eta(self, place: int, longest: float) -> Eta:
        """``longest``: by then it is decided in any case, be it that it is given up."""
        mean, sigma = self.wait(place)
        mean += UNTIL_CALLED_SECONDS
        return Eta(round(min(mean, longest), 1), round(min(mean + NORMAL_P90 * sigma, longest), 1))
