"""When workers are added and when they are let go: up at once, down slowly. Pure.

Each change costs every worker a rebalance, in which nobody reads for a moment. Too few workers cost patients their
wait, one too many costs a process. So what is wanted is had at once, and a worker is let go only when it was not
wanted for long: a need that goes up and down around a boundary keeps the workers that its peaks ask for.
"""

from __future__ import annotations


class Scaler:
    """Asked now and then. ``least`` and ``most`` bound what it answers. A worker goes when so many were not desired
    for ``down_after_seconds``, and no sooner than ``step_seconds`` after the one before. Raises ValueError.
    """

    def __init__(
        self, *, least: int = 1, most: int, down_after_seconds: float = 120.0, step_seconds: float = 30.0
    ) -> None:
        if not 1 <= least <= most:
            raise ValueError(f"1 <= {least} (least) <= {most} (most) does not hold")
        self._least = least
        self._most = most
        self._down_after_seconds = down_after_seconds
        self._step_seconds = step_seconds
        self._desired_at: dict[int, float] = {}
        """By number of workers, when so many or more were last desired."""
        self._began: float | None = None
        self._stepped_at = float("-inf")

    def decide(self, now: float, desired: int, running: int) -> int:
        """How many workers there should be. ``now`` is monotonic seconds; ``running`` counts those that are starting.

        What was desired before it was first asked is not known: that counts as everything.
        """
        if self._began is None:
            self._began = now
        wanted = min(max(desired, self._least), self._most)
        for number in range(1, wanted + 1):
            self._desired_at[number] = now
        if wanted >= running:
            return wanted
        if running > self._most:
            return self._most
        idle_seconds = now - self._desired_at.get(running, self._began)
        if idle_seconds < self._down_after_seconds or now - self._stepped_at < self._step_seconds:
            return running
        self._stepped_at = now
        return running - 1
