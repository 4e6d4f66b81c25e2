"""Rules expanded into instants: which starts a day has, and whether an appointment lies in open time. Pure.

A window's two ends are wall-clock times; between them slots follow each other in elapsed time. So a window over
a spring gap is an hour shorter and one over an autumn fold an hour longer, and no slot is lost, doubled or off.
Breaks and blocks take slots out and never shift those that stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from waiting_room.domain.availability.days_off import is_off
from waiting_room.domain.availability.rules import (
    Availability,
    Break,
    Override,
    OverrideKind,
    Weekly,
    minutes_of,
)
from waiting_room.domain.availability.wall import day_of, instant

Span = tuple[datetime, datetime]
_DAY_MINUTES = 1_440


class Calendar(msgspec.Struct, frozen=True, cache_hash=True):
    """What decides when a provider is open."""

    availability: Availability
    overrides: tuple[Override, ...] = ()
    days_off: tuple[date, ...] = ()
    """Of the business."""


class _Window(msgspec.Struct, frozen=True):
    """Open time, half-open, with a start every ``step``; ``closed`` are spans in it that are not open."""

    opens: datetime
    closes: datetime
    step: timedelta
    closed: tuple[Span, ...]

    def takes(self, start: datetime, end: datetime) -> bool:
        within = self.opens <= start and end <= self.closes
        return within and not any(since < end and start < until for since, until in self.closed)

    def starts(self, duration: timedelta) -> Iterator[datetime]:
        start = self.opens
        while start + duration <= self.closes:
            if self.takes(start, start + duration):
                yield start
            start += self.step


@lru_cache(maxsize=65_536)
def day_starts(calendar: Calendar, duration_minutes: int, timezone: str, day: date) -> tuple[datetime, ...]:
    """The starts (UTC, ascending) on the clinic's ``day`` of appointments that long; each fits into open time."""
    return expanded(calendar, duration_minutes, timezone, day)


@lru_cache(maxsize=65_536)
def count_starts(calendar: Calendar, duration_minutes: int, timezone: str, first: date, last: date) -> int:
    """How many there are on the days from ``first`` to ``last``, both included. Remembers the number alone."""
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return sum(len(expanded(calendar, duration_minutes, timezone, day)) for day in days)


def expanded(calendar: Calendar, duration_minutes: int, timezone: str, day: date) -> tuple[datetime, ...]:
    """As ``day_starts``, remembered nowhere."""
    zone = ZoneInfo(timezone)
    duration = timedelta(minutes=duration_minutes)
    starts = {
        start
        for window in _windows(calendar, zone, day)
        for start in window.starts(duration)
        # A one-off window may reach over midnight: each of its starts belongs to one day.
        if day_of(start, zone) == day
    }
    return tuple(sorted(starts))


def is_open(calendar: Calendar, timezone: str, start: datetime, end: datetime) -> bool:
    """Whether [start, end) lies in open time, on the grid of starts or not."""
    zone = ZoneInfo(timezone)
    return any(window.takes(start, end) for window in _windows(calendar, zone, day_of(start, zone)))


def bookable_span(availability: Availability, timezone: str, now: datetime) -> tuple[datetime, datetime | None]:
    """Half-open span of the starts that may be booked now: notice given, not too many days ahead (None: no bound)."""
    from_at = now + timedelta(minutes=availability.notice_minutes)
    if availability.max_days_ahead is None:
        return from_at, None
    zone = ZoneInfo(timezone)
    return from_at, instant(day_of(now, zone) + timedelta(days=availability.max_days_ahead + 1), 0, zone)


def _windows(calendar: Calendar, zone: ZoneInfo, day: date) -> Iterator[_Window]:
    """That open on ``day`` or, one-off ones, reach into it."""
    availability = calendar.availability
    blocked = tuple(_spans_of(calendar.overrides, OverrideKind.BLOCK))
    weekly = [rule for rule in availability.weekly if rule.applies(day)]
    if weekly and not is_off(availability, calendar.days_off, day):
        breaks = tuple(_span(each, day, zone) for each in availability.breaks if each.applies(day))
        for rule in weekly:
            opens, closes = _span(rule, day, zone)
            yield _Window(opens, closes, timedelta(minutes=rule.slot_minutes), (*breaks, *blocked))
    for override in calendar.overrides:
        if override.kind is OverrideKind.EXTEND and _reaches_into(override, day, zone):
            step = timedelta(minutes=override.slot_minutes or _DAY_MINUTES)
            yield _Window(override.from_at, override.to_at, step, blocked)


def _spans_of(overrides: tuple[Override, ...], kind: OverrideKind) -> Iterator[Span]:
    return ((each.from_at, each.to_at) for each in overrides if each.kind is kind)


def _span(each: Weekly | Break, day: date, zone: ZoneInfo) -> Span:
    return instant(day, minutes_of(each.from_), zone), instant(day, minutes_of(each.to), zone)


def _reaches_into(override: Override, day: date, zone: ZoneInfo) -> bool:
    return override.from_at < instant(day, _DAY_MINUTES, zone) and instant(day, 0, zone) < override.to_at
