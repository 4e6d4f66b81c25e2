"""From the clinic's wall clock to instants, over both DST changes: the one place where clocks are read."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY_MINUTES = 1_440


def instant(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) at or after which the clock shows so many minutes after midnight of ``day``.

    Where the clock skips that time it is the end of the gap; where it shows it twice, the first.
    """
    day += timedelta(days=minutes // _DAY_MINUTES)
    wall = time(*divmod(minutes % _DAY_MINUTES, 60))
    local = datetime.combine(day, wall, tzinfo=zone)
    at = local.astimezone(UTC)
    shown = at.astimezone(zone).replace(tzinfo=None)
    if local.replace(tzinfo=None) == shown:
        return at
    # ``wall`` does not exist that day: fold=0 reads it with the offset before the gap, which lands past its end.
    before = local.replace(fold=1).astimezone(UTC)
    return _gap_end(before, at, zone)


def day_of(at: datetime, zone: ZoneInfo) -> date:
    """The clinic's day on which an instant falls."""
    return at.astimezone(zone).date()


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
