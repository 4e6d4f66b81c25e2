"""How many commands may wait for Kafka at once: pure. Enough to ride out a hiccup, few enough that nobody queues long.

A queue that empties now and then is a burst and does no harm; one that never does is overload, and all it gives is
latency. So what is looked at is the quickest acknowledgement of each interval (Nichols and Jacobson, "Controlling
Queue Delay", 2012): while even that one took long the limit shrinks, else it grows again. An interval without any
acknowledgement says nothing.
"""

from __future__ import annotations

from typing import Final

STANDING_SECONDS: Final = 0.01
"""The quickest acknowledgement of an interval takes 2 ms on an idle broker; past this a queue stands."""

FEWEST: Final = 40
SHRINK, GROW = 0.7, 1.05


class InFlightLimit:
    """``most`` is the bound and where it begins."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._fewest = min(FEWEST, most)
        self._limit = float(most)
        self._quickest: float | None = None

    @property
    def allowed(self) -> int:
        """Commands that may be handed over and not acknowledged."""
        return int(self._limit)

    def acknowledged(self, seconds: float) -> None:
        """A command was, this long after it was handed over."""
        if self._quickest is None or seconds < self._quickest:
            self._quickest = seconds

    def look(self) -> None:
        """An interval has passed."""
        if self._quickest is not None:
            factor = SHRINK if self._quickest > STANDING_SECONDS else GROW
            self._limit = min(max(self._limit * factor, self._fewest), self._most)
        self._quickest = None
