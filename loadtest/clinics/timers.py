"""Timers on a coarse grid: one wake-up of the process for all calls that end in the same few milliseconds.

At a thousand calls a second, waking up for each costs about as much as answering it. The grid is small beside
latencies of seconds, and only ever makes a call longer.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable

GRID_SECONDS = 0.005

log = logging.getLogger(__name__)


class Timers:
    """Must be used inside the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: dict[int, list[Callable[[], None]]] = {}

    def call_later(self, delay_seconds: float, callback: Callable[[], None]) -> None:
        """Call at the first point of the grid that is at least this far off. What it raises is logged."""
        now = time.monotonic()
        tick = math.ceil((now + delay_seconds) / GRID_SECONDS)
        waiting = self._due.get(tick)
        if waiting is not None:
            waiting.append(callback)
            return
        self._due[tick] = [callback]
        self._loop.call_later(tick * GRID_SECONDS - now, self._ring, tick)

    def _ring(self, tick: int) -> None:
        for callback in self._due.pop(tick):
            try:
                callback()
            except Exception:  # the others that are due now must not go unanswered for it
                log.exception("a timed call failed")
