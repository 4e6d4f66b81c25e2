"""Whether this process may choose the partition of a command: only while nobody can take it for gone. Pure.

``domain/map_reports.py`` tells why. To be entitled it has to have said which map it knows (a report, acknowledged),
and then, unless it was entitled all the time, to have found that no newer one had been published before that. A
process that was frozen finds its lease over when it comes back, before it accepts anything. ``now`` is seconds that
pass while the machine sleeps, too.
"""

from __future__ import annotations

from collections import deque

from waiting_room.domain.map_reports import REPEAT_SECONDS


class MapLease:
    """``settle_seconds``: after it, whoever was accepted under an older map has been told so or is told nothing."""

    def __init__(self, *, lease_seconds: float, settle_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._settle_seconds = settle_seconds
        self._until = float("-inf")
        self._held_until = float("-inf")
        self._read = 0
        self._settling: deque[tuple[int, float]] = deque()
        self._settled = 0
        self._reported: int | None = None
        self._due_at = float("-inf")

    def holds(self, now: float) -> bool:
        """Whether a command may be given a partition now."""
        return now < self._until

    def lapse(self, now: float) -> None:
        """What is known of the map may be about to go back in time."""
        self._held_until = self._last_held(now)
        self._until = float("-inf")
        self._read = self._settled = 0
        self._settling.clear()

    def read(self, directory_offset: int, now: float) -> None:
        """Everything before this offset of clinic.directory is known."""
        if directory_offset < self._read:
            self.lapse(now)
        if directory_offset > self._read:
            self._read = directory_offset
            # Where nothing was accepted of late, nothing was under an older map.
            self._settling.append((directory_offset, self._last_held(now) + self._settle_seconds))
        while self._settling and self._settling[0][1] <= now:
            self._settled, _ = self._settling.popleft()

    def to_report(self, now: float) -> int | None:
        """The offset to report now; None: there is no need."""
        due = not self.holds(now) or now >= self._due_at or self._reported != self._settled
        return self._settled if due else None

    def reported(self, directory_offset: int, sent_at: float, now: float) -> None:
        """This report was handed over at ``sent_at`` and is acknowledged."""
        self._reported = directory_offset
        self._due_at = sent_at + min(REPEAT_SECONDS, self._lease_seconds / 2)
        if self.holds(now):
            self._until = sent_at + self._lease_seconds

    def checked(self, end_offset: int, sent_at: float) -> bool:
        """clinic.directory ended here, asked after the report of ``sent_at`` was acknowledged. Whether all is read."""
        if self._read < end_offset:
            return False
        self._until = max(self._until, sent_at + self._lease_seconds)
        return True

    def _last_held(self, now: float) -> float:
        """The last moment at which a command can have been given a partition."""
        return max(self._held_until, min(now, self._until))
