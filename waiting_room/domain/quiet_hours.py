"""Hours in which a patient's phone shall not make a sound, on the clinic's wall clock: pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_TEXT = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)", re.ASCII)


class Quiet(NamedTuple):
    """One stretch of quiet hours, half-open, in UTC."""

    began_at: datetime
    ends_at: datetime


class QuietHours(NamedTuple):
    """From a time of day to another, past midnight if that is the smaller one."""

    from_time: time
    to_time: time

    def around(self, at: datetime, zone: ZoneInfo) -> Quiet | None:
        """The stretch that ``at`` falls into."""
        today = at.astimezone(zone).date()
        over_midnight = timedelta(days=self.to_time < self.from_time)
        for day in (today - timedelta(days=1), today):
            quiet = Quiet(_at(day, self.from_time, zone), _at(day + over_midnight, self.to_time, zone))
            if quiet.began_at <= at < quiet.ends_at:
                return quiet
        return None


def quiet_hours_of(text: str) -> QuietHours:
    """``21:00-08:00``. Raises ValueError."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not of the form 21:00-08:00")
    hours = QuietHours(time.fromisoformat(match[1]), time.fromisoformat(match[2]))
    if hours.from_time == hours.to_time:
        raise ValueError(f"{text!r} has no length")
    return hours


def news_at(wanted_at: datetime, start_at: datetime | None, quiet: Quiet | None) -> datetime:
    """When to tell what has just been decided: after the quiet hours, unless the appointment has begun by then."""
    if quiet is None or (start_at is not None and start_at <= quiet.ends_at):
        return wanted_at
    return quiet.ends_at


def reminder_at(wanted_at: datetime, start_at: datetime, quiet: Quiet | None, now: datetime) -> datetime | None:
    """When to remind instead: after the quiet hours if half of the lead is left then, else before them.

    Before them may be over already: then it is late rather than never, unless the appointment has begun by then.
    """
    if quiet is None:
        return wanted_at
    if quiet.ends_at <= wanted_at + (start_at - wanted_at) / 2:
        return quiet.ends_at
    before = quiet.began_at - timedelta(minutes=1)
    if before > now:
        return before
    return quiet.ends_at if quiet.ends_at < start_at else None


def _at(day: date, wall: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, wall, zone).astimezone(UTC)
