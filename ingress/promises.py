"""Who was refused because a line is too long has a time at which to come back, and room then. Pure; ``now`` is given.

Everybody refused in the same minute would come back in the same minute if all were told the same. So each is given a
time of its own, as far behind the one before as the clinic takes to decide a booking, and counts from then on as if
it stood in line already: a newcomer does not take its place. A promise that is not taken up lapses.

Kept in this process: where several serve one address, a caller's requests should reach the same one (route them by
``Idempotency-Key``). Elsewhere a caller that comes back is let in as any newcomer is.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from typing import Final

TAKEN_UP_WITHIN_SECONDS: Final = 30.0
TAKEN_UP_WITHIN_SHARE: Final = 0.1
"""After its time a promise stands for so long, or for this share of how far ahead it was given, if that is longer."""

PROMISED_MAX: Final = 20_000
"""Of one clinic; beyond it nobody is promised anything."""

EARLY_SECONDS: Final = 0.5
"""A clock that is so much ahead of ours is forgiven."""

LONGEST_SECONDS: Final = 3_600.0


class _Line:
    __slots__ = ("due", "last_due")

    def __init__(self) -> None:
        self.due: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by ref: (due, lapses), in the order given
        self.last_due = float("-inf")


class Promises:
    """By clinic and booking_ref. ``now``: monotonic seconds."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def standing(self, clinic_id: str, now: float) -> int:
        """Promises that are not taken up and have not lapsed."""
        line = self._lines.get(clinic_id)
        if line is None:
            return 0
        while line.due:
            ref, (_, lapses) = next(iter(line.due.items()))
            if lapses > now:
                return len(line.due)
            del line.due[ref]
        del self._lines[clinic_id]
        return 0

    def is_due(self, clinic_id: str, ref: str, now: float) -> bool:
        """Whether this one was told to come back about now."""
        line = self._lines.get(clinic_id)
        promised = line.due.get(ref) if line else None
        return promised is not None and promised[0] - EARLY_SECONDS <= now <= promised[1]

    def kept(self, clinic_id: str, ref: str) -> None:
        """It was let in."""
        if (line := self._lines.get(clinic_id)) is not None:
            line.due.pop(ref, None)

    def give(self, clinic_id: str, ref: str, now: float, *, room_in_seconds: float, per_second: float) -> int:
        """In how many seconds to come back, at least 1. Told before and come too early: the same moment again.

        ``room_in_seconds``: until there is room for one more, if nobody else came; ``per_second``: how many bookings
        the clinic decides from then on.
        """
        line = self._lines.setdefault(clinic_id, _Line())
        promised = line.due.get(ref)
        if promised is not None and promised[0] > now:
            return _seconds(promised[0] - now)
        due = max(now + room_in_seconds, line.last_due + 1.0 / per_second)
        ahead = due - now
        if ahead > LONGEST_SECONDS or len(line.due) >= PROMISED_MAX:
            return _seconds(min(ahead, LONGEST_SECONDS))
        told = _seconds(ahead)
        line.last_due = due
        line.due.pop(ref, None)
        within = max(TAKEN_UP_WITHIN_SECONDS, TAKEN_UP_WITHIN_SHARE * told)
        line.due[ref] = (now + told, now + told + within)
        return told


def _seconds(wait: float) -> int:
    return max(1, ceil(wait))
