"""How many calls a clinic may have in flight: what a lane asks, and the plainest answer.

The limit that learns from a clinic's answers is in ``adaptive``; it has the same face and is told the same things.
"""

from __future__ import annotations

from typing import Protocol


class Limit(Protocol):
    """Told of every call of one clinic. ``now`` is monotonic seconds; ``in_flight`` counts the call it speaks of, as
    it was when that call started.
    """

    def allowed(self, now: float) -> int:
        """Calls that may be in flight at once; at least 1."""
        ...

    def wake_at(self, now: float) -> float | None:
        """When more may be allowed although nothing happens until then; None: never."""
        ...

    def declare(self, ceiling: int) -> None:
        """What the clinic says it can take; never exceeded."""
        ...

    def on_start(self, now: float, in_flight: int) -> None:
        """A call starts."""
        ...

    def on_success(self, now: float, in_flight: int, seconds: float | None) -> None:
        """The clinic answered. ``seconds``: how long it took; None where the call is no measure of its pace."""
        ...

    def on_overload(self, now: float, in_flight: int, retry_after_seconds: float | None) -> None:
        """The clinic said that it is too busy."""
        ...

    def on_failure(self, now: float, in_flight: int) -> None:
        """No answer that counts."""
        ...

    def on_recovery(self, now: float) -> None:
        """The clinic, taken to be down until now, has answered."""
        ...


class FixedLimit:
    """As many as the clinic declared, whatever it answers."""

    def __init__(self, declared: int) -> None:
        self._allowed = max(declared, 1)

    def allowed(self, now: float) -> int:
        """See Limit."""
        return self._allowed

    def wake_at(self, now: float) -> float | None:
        """See Limit."""
        return None

    def declare(self, ceiling: int) -> None:
        """See Limit."""
        self._allowed = max(ceiling, 1)

    def on_start(self, now: float, in_flight: int) -> None:
        """Not used."""

    def on_success(self, now: float, in_flight: int, seconds: float | None) -> None:
        """Not used."""

    def on_overload(self, now: float, in_flight: int, retry_after_seconds: float | None) -> None:
        """Not used."""

    def on_failure(self, now: float, in_flight: int) -> None:
        """Not used."""

    def on_recovery(self, now: float) -> None:
        """Not used."""
