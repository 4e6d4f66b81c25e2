"""Whether one more booking is taken: pure. The backlog stays bounded, and an accepted booking is never refused later.

Refused are: everything while Kafka is not acknowledging or too many requests wait for it (503, nothing can come of
them), and bookings where too much was appended and is not held yet, or whose clinic is too far behind (429).
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from ingress import problems
from ingress.line import Held, Pace
from ingress.problems import ProblemType

NOT_ACCEPTING_RETRY_SECONDS = 2
BUSY_RETRY_SECONDS = 1
BACKLOG_RETRY_SECONDS = 30
"""Used when nobody reports how fast the backlog is worked off."""

RETRY_SECONDS_MAX = 3_600
UNKNOWN_PACE_PER_SECOND = 1.0
"""Bookings a second that a clinic is taken to decide before anybody has seen it work."""


class Refusal(NamedTuple):
    kind: ProblemType
    retry_after_seconds: int


NOT_ACCEPTING = Refusal(problems.NOT_ACCEPTING, NOT_ACCEPTING_RETRY_SECONDS)
BUSY = Refusal(problems.BUSY, BUSY_RETRY_SECONDS)


def producing(*, takes: bool) -> Refusal | None:
    """Whether a command may be handed to Kafka, which ``takes`` it or not. None: it may."""
    return None if takes else NOT_ACCEPTING


def book(
    *, unheld: int, unheld_max: int, held: Held | None, place: int, pace: Pace | None, wait_ceiling_seconds: int
) -> Refusal | None:
    """Whether a booking fits behind those already accepted. None: it does.

    ``unheld``: records of the partition that are not held yet; ``place``: the one the booking would have. The pace
    counts even if it is old or the breaker is open: then the line is at least that long.
    """
    if unheld >= unheld_max:
        return Refusal(problems.BACKLOG, _until_worked_off(unheld - unheld_max + 1, held))
    wait = place / UNKNOWN_PACE_PER_SECOND if pace is None else pace.wait(place)[0]
    if wait > wait_ceiling_seconds:
        return Refusal(problems.LINE_TOO_LONG, _seconds(wait - wait_ceiling_seconds))
    return None


def _until_worked_off(excess: int, held: Held | None) -> int:
    if held is None or not held.per_second:
        return BACKLOG_RETRY_SECONDS
    return _seconds(excess / held.per_second)


def _seconds(wait: float) -> int:
    return ceil(min(RETRY_SECONDS_MAX, max(1, wait)))
