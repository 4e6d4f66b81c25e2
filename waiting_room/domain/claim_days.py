"""A seat is claimed by the day (UTC), as ``seat_claims`` is stored: a claim that goes on over midnight is cut there.

Then two claims overlap exactly if on some day a piece of one overlaps a piece of the other, and a constraint that looks
at one day at a time overlooks nothing.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

_A_DAY: Final = timedelta(days=1)


class Piece(NamedTuple):
    """What of a claim lies on ``day``; half-open."""

    day: date
    from_at: datetime
    to_at: datetime


def pieces(from_at: datetime, to_at: datetime) -> list[Piece]:
    """One for each day that [from_at, to_at) touches, ascending; one after the other they are the whole of it.

    Raises ValueError if it is empty.
    """
    if to_at <= from_at:
        raise ValueError(f"nothing lies from {from_at} to {to_at}")
    found: list[Piece] = []
    while True:
        day = utc_day(from_at)
        if day == utc_day(to_at):  # as nearly all do
            found.append(Piece(day, from_at, to_at))
            return found
        midnight = datetime.combine(day + _A_DAY, time(), UTC)
        found.append(Piece(day, from_at, midnight))
        if midnight >= to_at:
            return found
        from_at = midnight


def utc_day(at: datetime) -> date:
    """The day (UTC) on which ``at`` falls."""
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).date()


def first_of_month(day: date, months: int = 0) -> date:
    """The first day of its month, or of one so many months later."""
    years, month = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month + 1, 1)
