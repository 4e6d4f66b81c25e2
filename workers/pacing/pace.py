"""A clinic's running pace: how long one of its slots is taken by one booking."""

from __future__ import annotations

from math import sqrt
from typing import Final

WEIGHT: Final = 0.05
"""Of the newest call: some 40 calls speak."""


class RunningPace:
    """Exponentially weighted mean and standard deviation, in seconds; the first calls count equally."""

    def __init__(self) -> None:
        self._calls = 0
        self._mean = 0.0
        self._variance = 0.0

    def add(self, seconds: float) -> None:
        self._calls += 1
        weight = max(WEIGHT, 1 / self._calls)
        off = seconds - self._mean
        self._mean += weight * off
        self._variance = (1 - weight) * (self._variance + weight * off * off)

    @property
    def mean(self) -> float | None:
        """None before anything was seen."""
        return self._mean if self._calls else None

    @property
    def sigma(self) -> float:
        """While hardly anything was seen, no less than half the mean."""
        seen = sqrt(self._variance)
        return seen if self._calls >= 5 else max(seen, self._mean / 2)
