"""Notices that this process stood still: stopped, starved or suspended.

Two things are not true any more then. The clock does not say how long a clinic took, or that it did not answer. And
the group may have given our partitions to others, without our heartbeats having told us yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_EVERY_SECONDS = 0.5
STILL_SECONDS = 2.0
"""What has not looked for so long stood still; a busy event loop is late by less."""
MEMBER_SHARE = 0.75
"""Of the session timeout: the last heartbeat may have been sent a quarter of it before."""


def _boot_seconds() -> float:
    """Goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Standstill:
    """Somebody must look every LOOK_EVERY_SECONDS, and before anything is done that only an owner may do."""

    def __init__(self, session_seconds: float, clock: Callable[[], float] = _boot_seconds) -> None:
        self._member_seconds = session_seconds * MEMBER_SHARE
        self._clock = clock
        self._looked_at: float | None = None
        self._times = 0
        self._missed_seconds: float | None = None

    @property
    def times(self) -> int:
        """How often it has stood still. What began at another number was not measured."""
        self._look()
        return self._times

    def lost_touch(self) -> float | None:
        """For how many seconds it stood still, once, if that was too long to be sure that we are still a member."""
        self._look()
        missed, self._missed_seconds = self._missed_seconds, None
        return missed

    def _look(self) -> None:
        now, before = self._clock(), self._looked_at
        self._looked_at = now
        if before is None:
            return
        still_seconds = now - before
        if still_seconds >= STILL_SECONDS:
            self._times += 1
        if still_seconds >= self._member_seconds:
            self._missed_seconds = still_seconds
