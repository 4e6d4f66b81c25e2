"""Whether one more booking is taken: pure. The backlog stays bounded, and an accepted booking is never refused later.

Refused are: everything while Kafka is not acknowledging or too many requests wait for it (503, nothing can come of
them), and bookings where too much was appended and is not held yet, or whose clinic is too far behind (429).
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from ingress import problems
from ingress.line import Held
from ingress.problems import ProblemType
from waiting_room.domain.eta import Pace

NOT_ACCEPTING_RETRY_SECONDS = 2
MAP_UNKNOWN_RETRY_SECONDS = 1
BUSY_RETRY_SECONDS = 1
BACKLOG_RETRY_SECONDS = 30
"""Used when nobody reports how fast the backlog is worked off."""

RETRY_SECONDS_MAX = 3_600
UNKNOWN_PACE = Pace(1.0, 1.0, 0.5)
"""A booking a second is what a clinic is taken to decide before anybody has seen it work."""

NEWCOMERS_SHARE = 0.9
"""Of the ceiling: the rest is for those who were told to come back, should the line move slower than it did."""

CAUTION = 0.95
"""Of a clinic's pace, which is what is promised."""

NOTHING_FREE_RETRY_SECONDS = 600


class Refusal(NamedTuple):
    kind: ProblemType
    retry_after_seconds: int


class TooLong(NamedTuple):
    """The clinic's line is: there is room for one more in so many seconds, and for as many a second from then on."""

    room_in_seconds: float
    per_second: float


NOT_ACCEPTING = Refusal(problems.NOT_ACCEPTING, NOT_ACCEPTING_RETRY_SECONDS)
MAP_UNKNOWN = Refusal(problems.NOT_READY, MAP_UNKNOWN_RETRY_SECONDS)
NO_INTAKE_KEY = Refusal(problems.NOT_READY, MAP_UNKNOWN_RETRY_SECONDS)
BUSY = Refusal(problems.BUSY, BUSY_RETRY_SECONDS)
NOTHING_FREE = Refusal(problems.NOTHING_FREE, NOTHING_FREE_RETRY_SECONDS)


def producing(*, takes: bool, knows_the_map: bool = True) -> Refusal | None:
    """Whether a command may be handed to Kafka, which ``takes`` it or not, and we know where to. None: it may."""
    if not takes:
        return NOT_ACCEPTING
    return None if knows_the_map else MAP_UNKNOWN


def backlog(*, unheld: int, unheld_max: int, held: Held | None) -> Refusal | None:
    """Whether one more may be appended. ``unheld``: records of the partition that are not held yet. None: it may."""
    if unheld < unheld_max:
        return None
    return Refusal(problems.BACKLOG, _until_worked_off(unheld - unheld_max + 1, held))


def bookable(*, free: int | None, ahead: int) -> Refusal | None:
    """Whether the clinic has anything left to give. ``free``: starts with a free seat, as hold last counted them;
    ``ahead``: bookings that are accepted and not counted in it yet. None: it has, or nobody knows.
    """
    return NOTHING_FREE if free is not None and free - ahead <= 0 else None


def line(*, place: int, promised: int, is_due: bool, pace: Pace | None, wait_ceiling_seconds: int) -> TooLong | None:
    """Whether a booking fits into its clinic's line. None: it does.

    ``place``: the one it would have; ``promised``: callers who were told to come back and count as if they stood
    there already, but for one that is such a caller and ``is_due``. Newcomers leave it some room. The pace counts
    even if it is old or the clinic is down: then the line is at least that long.
    """
    known = UNKNOWN_PACE if pace is None else pace
    ceiling = wait_ceiling_seconds if is_due else wait_ceiling_seconds * NEWCOMERS_SHARE
    wait = known.wait(place if is_due else place + promised)[0]
    if wait <= ceiling:
        return None
    per_second = known.limit / known.call_seconds
    room_in = known.wait(place)[0] - wait_ceiling_seconds * NEWCOMERS_SHARE
    return TooLong(max(room_in, 0.0), per_second * CAUTION)


def _until_worked_off(excess: int, held: Held | None) -> int:
    if held is None or not held.per_second:
        return BACKLOG_RETRY_SECONDS
    return _seconds(excess / held.per_second)


def _seconds(wait: float) -> int:
    return ceil(min(RETRY_SECONDS_MAX, max(1, wait)))
