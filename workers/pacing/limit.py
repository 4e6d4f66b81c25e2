"""How many calls a clinic may have in flight.

``Limit`` is what a lane asks; the limit here is the clinic's own word. One that learns from answers has the same
face and is told the same things.
"""

from __future__ import annotations

from typing import Protocol


class Limit(Protocol):
    """Told of every call of one clinic. ``now`` is monotonic seconds."""

    @property
    def allowed(self) -> int:
        """Calls that may be in flight at once; at least 1."""
        ...

    def declare(self, ceiling: int) -> None:
        """What the clinic says it can take; never exceeded."""
        ...

    def on_start(self, now: float, in_flight: int) -> None:
        """A call starts; ``in_flight`` counts it."""
        ...

    def on_success(self, now: float, seconds: float | None) -> None:
        """The clinic answered. ``seconds``: how long it took; None where the call is no measure of its pace."""
        ...

    def on_overload(self, now: float, retry_after_seconds: float | None) -> None:
        """The clinic said that it is too busy."""
        ...

    def on_failure(self, now: float) -> None:
        """No answer that counts."""
        ...


class FixedLimit:
    """As many as the clinic declared, whatever it answers."""

    def __init__(self, declared: int) -> None:
        self._allowed = max(declared, 1)

    @property
    def allowed(self) -> int:
        """See Limit."""
        return self._allowed

    def declare(self, ceiling: int) -> None:
        """See Limit."""
        self._allowed = max(ceiling, 1)

    def on_start(self, now: float, in_flight: int) -> None:
        """Not used."""

    def on_success(self, now: float, seconds: float | None) -> None:
        """Not used."""

    def on_overload(self, now: float, retry_after_seconds: float | None) -> None:
        """Not used."""

    def on_failure(self, now: float) -> None:
        """Not used."""
