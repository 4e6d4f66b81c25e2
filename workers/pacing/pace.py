"""A clinic's running pace: how long a booking takes one of its slots, and how long it is until one is decided."""

from __future__ import annotations

from math import sqrt
from typing import Final

WEIGHT: Final = 0.05
"""Of the newest booking: some 40 of them speak."""

OUTLIER: Final = 4.0
"""Nothing counts for more than so many times the mean: what an outage took does not say how fast the clinic is."""


class Running:
    """Exponentially weighted mean and standard deviation, in seconds; the first values count equally."""

    def __init__(self) -> None:
        self._values = 0
        self._mean = 0.0
        self._variance = 0.0

    def add(self, seconds: float) -> None:
        if self._values:
            seconds = min(seconds, OUTLIER * self._mean)
        self._values += 1
        weight = max(WEIGHT, 1 / self._values)
        off = seconds - self._mean
        self._mean += weight * off
        self._variance = (1 - weight) * (self._variance + weight * off * off)

    @property
    def mean(self) -> float | None:
        """None before anything was seen."""
        return self._mean if self._values else None

    @property
    def sigma(self) -> float:
        """While hardly anything was seen, no less than half the mean."""
        seen = sqrt(self._variance)
        return seen if self._values >= 5 else max(seen, self._mean / 2)


class ClinicPace:
    """``slot``: a clinic's slot taken, all calls together, for each booking that is decided; ``decision``: from a
    booking's first call until it is decided. What began before an outage was over says nothing about either, nor does
    what began before ``since``, when nobody may have called.
    """

    def __init__(self, since: float = float("-inf")) -> None:
        self.slot = Running()
        self.decision = Running()
        self._taken = 0.0
        self._down_at = since

    def down(self, now: float) -> None:
        """The clinic is taken to be down; to be said now and then for as long as it is."""
        self._taken = 0.0
        self._down_at = now

    def called(self, slot_seconds: float) -> None:
        """A call is over that took a slot for so long, whatever came of it."""
        self._taken += slot_seconds

    def decided(self, seconds: float, now: float) -> None:
        """A booking is, so long after its first call."""
        taken, self._taken = self._taken, 0.0
        if now - seconds > self._down_at:
            self.slot.add(taken)
            self.decision.add(seconds)
