"""Virtual time: what is due runs in order, and the next moment comes at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any

MIDNIGHT = datetime(2026, 11, 30, tzinfo=UTC)
"""A Monday. Moment 0 of every simulation."""


class Clock:
    """``now`` is seconds since MIDNIGHT."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._number = 0

    @property
    def at(self) -> datetime:
        """The moment as PostgreSQL would tell it."""
        return MIDNIGHT + timedelta(seconds=self.now)

    def after(self, seconds: float, run: Callable[..., object], *args: Any) -> None:
        """Run this in so many seconds; of what is due at one moment, what was asked for first goes first."""
        self._number += 1
        heappush(self._due, (self.now + max(seconds, 0.0), self._number, run, args))

    def run_until(self, moment: float) -> None:
        """Let everything happen that is due by then."""
        while self._due and self._due[0][0] <= moment:
            self.now, _, run, args = heappop(self._due)
            run(*args)
        self.now = max(self.now, moment)

    def run_until_idle(self, latest: float) -> bool:
        """Until nothing is due any more; False if that is not so by ``latest``."""
        while self._due and self._due[0][0] <= latest:
            self.now, _, run, args = heappop(self._due)
            run(*args)
        return not self._due
