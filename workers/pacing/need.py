"""How many calls at once a clinic's line needs, and so how many workers are wanted. Pure.

    needed   = least of: calls at once that meet the wait target; the clinic's own limit; 0 while it is down
    desired  = the sum of what is needed, over all clinics, divided by the calls one worker carries, rounded up

A line that only its clinic can shorten asks for no more than the clinic takes, however long it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil


def calls_needed(*, line: int, call_seconds: float, limit: int, breaker_open: bool, wait_target_seconds: float) -> int:
    """Calls at once at one clinic. ``line``: its undecided bookings; ``call_seconds``: what one call takes."""
    if breaker_open or line <= 0:
        return 0
    to_meet_target = ceil(line * call_seconds / wait_target_seconds)
    return min(max(to_meet_target, 1), limit, line)


def workers_desired(needed: Iterable[float], calls_a_worker: float) -> int:
    """Workers that carry these calls at once; at least one."""
    return max(ceil(sum(needed) / calls_a_worker), 1)
