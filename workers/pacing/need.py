"""How many calls at once a clinic's line needs, and so how many workers are wanted. Pure.

    needed   = least of: calls at once that meet the wait target; the clinic's own limit; 0 while it is down
    desired  = the sum of what is needed, over all clinics, divided by the calls one worker carries, rounded up

A line that only its clinic can shorten asks for no more than the clinic takes, however long it is. A line that grows
counts as long as it will be when a worker that is started now makes its first call: by the length of the moment a rush
would be met one worker after the other, each of them late.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import ceil, exp
from typing import Final, NamedTuple

START_SECONDS: Final = 10.0
"""From a need to the first call of the worker that comes for it: three until it is believed, three until its process
runs, four until the group has given it partitions and it has counted what is under way there."""
SMOOTH_SECONDS: Final = 5.0
"""Growth is an average that forgets at this pace: a line is told of in steps, at its clinic's next call."""


class _Seen(NamedTuple):
    """``sure``: the line is known since this one looks after the clinic, and not from before."""

    at: float
    word: int
    line: int
    growth: float
    sure: bool


class Growth:
    """How fast clinics' lines grow, bookings a second."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def saw(self, clinic_id: str, word: int, line: int, now: float) -> float:
        """The growth, now that the line is so long; 0 where it shrinks. ``word`` is greater each time that the line was
        told of, ``now`` at each look: seconds of one clock.

        At the first look the line may be as it was long ago, under another owner: it counts from the next word on.
        """
        before = self._seen.get(clinic_id)
        if before is None or not before.sure:
            self._seen[clinic_id] = _Seen(now, word, line, 0.0, before is not None and word > before.word)
            return 0.0
        growth = before.growth
        if (seconds := now - before.at) > 0:
            growth += ((line - before.line) / seconds - growth) * (1 - exp(-seconds / SMOOTH_SECONDS))
        self._seen[clinic_id] = _Seen(now, word, line, growth, sure=True)
        return max(growth, 0.0)

    def keep(self, clinic_ids: Collection[str]) -> None:
        """Forget all others: who sees them again begins anew."""
        for clinic_id in self._seen.keys() - clinic_ids:
            del self._seen[clinic_id]


def calls_needed(
    *, line: int, call_seconds: float, limit: int, breaker_open: bool, wait_target_seconds: float, growth: float = 0.0
) -> int:
    """Calls at once at one clinic. ``line``: its undecided bookings, and ``growth`` more of them a second;
    ``call_seconds``: what one call takes.
    """
    if breaker_open or line <= 0:
        return 0
    soon = line + growth * START_SECONDS
    to_meet_target = ceil(soon * call_seconds / wait_target_seconds)
    return min(max(to_meet_target, 1), limit, ceil(soon))


def workers_desired(needed: Iterable[float], calls_a_worker: float) -> int:
    """Workers that carry these calls at once; at least one."""
    return max(ceil(sum(needed) / calls_a_worker), 1)
