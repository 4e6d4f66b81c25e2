"""Which times a provider offers: weekly hours expanded into starts, in UTC, correct over both DST changes.

A window's two ends are wall-clock times; between them slots follow each other in elapsed time. So a window over
a spring gap is an hour shorter and one over an autumn fold an hour longer, and no slot is lost, doubled or off.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from waiting_room.domain.directory import Hours, Provider, ServiceType


def slot_starts(
    provider: Provider, service: ServiceType, timezone: str, from_at: datetime, to_at: datetime
) -> Iterator[datetime]:
    """Starts in [from_at, to_at), ascending, at which ``service`` fits into the provider's hours (UTC)."""
    day, last = clinic_days(timezone, from_at, to_at)
    while day <= last:
        for start in day_starts(provider.hours, service.duration_minutes, timezone, day):
            if from_at <= start < to_at:
                yield start
        day += timedelta(days=1)


def clinic_days(timezone: str, from_at: datetime, to_at: datetime) -> tuple[date, date]:
    """The first and last day, by the clinic's calendar, on which a time of [from_at, to_at] falls."""
    zone = ZoneInfo(timezone)
    return from_at.astimezone(zone).date(), to_at.astimezone(zone).date()


def offers(provider: Provider, service: ServiceType, timezone: str, start_at: datetime) -> bool:
    """Whether ``start_at`` is one of the provider's starts for this service."""
    day = start_at.astimezone(ZoneInfo(timezone)).date()
    return start_at in day_starts(provider.hours, service.duration_minutes, timezone, day)


@lru_cache(maxsize=65_536)
def day_starts(hours: tuple[Hours, ...], duration_minutes: int, timezone: str, day: date) -> tuple[datetime, ...]:
    """One day's starts (UTC, ascending) by the clinic's calendar; windows lie within the day."""
    zone = ZoneInfo(timezone)
    duration = timedelta(minutes=duration_minutes)
    starts: set[datetime] = set()
    for window in hours:
        if window.weekday != day.isoweekday():
            continue
        start, closes = _instant(day, window.opens, zone), _instant(day, window.closes, zone)
        while start + duration <= closes:
            starts.add(start)
            start += timedelta(minutes=window.slot_minutes)
    return tuple(sorted(starts))


def _instant(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """The first instant at or after which the clinic's clock shows ``wall`` (in a gap: the gap's end)."""
    local = datetime.combine(day, wall, tzinfo=zone)
    instant = local.astimezone(UTC)
    shown = instant.astimezone(zone).replace(tzinfo=None)
    skipped = local.replace(tzinfo=None) - shown
    if skipped == timedelta(0):
        return instant
    # ``wall`` does not exist that day: fold=0 reads it with the offset before the gap, which lands past its end.
    before = local.replace(fold=1).astimezone(UTC)
    return _gap_end(before, instant, zone)


def _gap_end(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The instant between two at which the zone's offset changes, to the second."""
    offset = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)
