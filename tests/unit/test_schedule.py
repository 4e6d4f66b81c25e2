"""Which starts a provider offers, against a clock that is watched minute by minute through both DST changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waiting_room.domain.directory import Hours, Provider, ServiceType
from waiting_room.domain.schedule import clinic_days, day_starts, offers, slot_starts

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # half an hour off
    "Australia/Lord_Howe",  # changes by half an hour
    "America/Havana",  # changes at midnight
    "Africa/Cairo",  # springs forward at midnight
    "America/Asuncion",  # falls back at midnight, into the day before
    "Asia/Kolkata",  # never changes
    "Pacific/Kiritimati",  # UTC+14
)
MINUTE = timedelta(minutes=1)


@cache
def days_of_interest(timezone: str) -> tuple[date, ...]:
    """Days on which the zone's offset changes, those around them, and one that is like any other."""
    zone, day = ZoneInfo(timezone), date(2023, 1, 2)
    found = {day}
    while day < date(2024, 12, 31):
        noon = datetime.combine(day, time(12), tzinfo=zone)
        if noon.utcoffset() != (noon + timedelta(days=1)).utcoffset():
            found.update(day + timedelta(days=offset) for offset in (-1, 0, 1, 2))
        day += timedelta(days=1)
    return tuple(sorted(found))


def watched(timezone: str, day: date, wall: time) -> datetime:
    """The first minute at which the clinic's clock shows ``wall`` of ``day`` or later."""
    zone = ZoneInfo(timezone)
    wanted = datetime.combine(day, wall)
    instant = wanted.replace(tzinfo=UTC) - timedelta(hours=16)
    while instant.astimezone(zone).replace(tzinfo=None) < wanted:
        instant += MINUTE
    return instant


def expected(hours: tuple[Hours, ...], duration_minutes: int, timezone: str, day: date) -> list[datetime]:
    starts = set()
    for window in hours:
        if window.weekday == day.isoweekday():
            start, closes = watched(timezone, day, window.opens), watched(timezone, day, window.closes)
            while start + duration_minutes * MINUTE <= closes:
                starts.add(start)
                start += window.slot_minutes * MINUTE
    return sorted(starts)


def provider_with(hours: tuple[Hours, ...]) -> Provider:
    return Provider(provider_id="dr", name="Dr", capacity=1, service_types=("checkup",), hours=hours)


walls = st.builds(time, st.integers(0, 23), st.sampled_from((0, 15, 30, 59)))
windows = st.builds(
    lambda weekday, opens, closes, slot: Hours(weekday=weekday, opens=opens, closes=closes, slot_minutes=slot),
    st.integers(1, 7),
    walls,
    walls,
    st.sampled_from((10, 15, 20, 45)),
)
zone_and_day = st.sampled_from(ZONES).flatmap(
    lambda timezone: st.tuples(st.just(timezone), st.sampled_from(days_of_interest(timezone)))
)


@settings(deadline=None)
@given(zone_and_day, st.lists(windows, min_size=1, max_size=3), st.sampled_from((10, 30, 90)))
def test_starts_are_those_of_a_watched_clock(where: tuple[str, date], hours: list[Hours], minutes: int) -> None:
    timezone, day = where
    on_that_day = tuple(
        Hours(weekday=day.isoweekday(), opens=each.opens, closes=each.closes, slot_minutes=each.slot_minutes)
        for each in hours
    )
    assert list(day_starts(on_that_day, minutes, timezone, day)) == expected(on_that_day, minutes, timezone, day)


@settings(deadline=None)
@given(zone_and_day, st.lists(windows, max_size=6), st.integers(0, 60 * 24), st.integers(0, 60 * 24 * 4))
def test_a_span_holds_the_starts_of_its_days_in_order_and_each_is_offered(
    where: tuple[str, date], hours: list[Hours], from_minute: int, length: int
) -> None:
    timezone, day = where
    provider = provider_with(tuple(hours))
    service = ServiceType(service_type="checkup", duration_minutes=30)
    from_at = datetime.combine(day, time(0), tzinfo=UTC) + from_minute * MINUTE
    to_at = from_at + length * MINUTE
    starts = list(slot_starts(provider, service, timezone, from_at, to_at))
    around = [day + timedelta(days=offset) for offset in range(-2, 8)]
    everything = [start for each in around for start in day_starts(provider.hours, 30, timezone, each)]
    assert starts == sorted({start for start in everything if from_at <= start < to_at})
    assert all(offers(provider, service, timezone, start) for start in starts)
    first, last = clinic_days(timezone, from_at, to_at)
    assert all(first <= start.astimezone(ZoneInfo(timezone)).date() <= last for start in starts)


@given(zone_and_day, st.lists(windows, max_size=4), st.integers(0, 60 * 24))
def test_only_a_start_is_offered(where: tuple[str, date], hours: list[Hours], minute: int) -> None:
    timezone, day = where
    provider = provider_with(tuple(hours))
    service = ServiceType(service_type="checkup", duration_minutes=30)
    start_at = datetime.combine(day, time(0), tzinfo=UTC) + minute * MINUTE
    there = list(slot_starts(provider, service, timezone, start_at, start_at + MINUTE))
    assert offers(provider, service, timezone, start_at) == (there == [start_at])


NIGHT = (Hours(weekday=7, opens=time(1), closes=time(4), slot_minutes=60),)


@pytest.mark.parametrize(
    ("day", "utc_hours"),
    [
        (date(2026, 3, 22), [0, 1, 2]),
        (date(2026, 3, 29), [0, 1]),  # 01:00 and 03:00 on the clock: 02:00 is skipped
        (date(2026, 10, 25), [23, 0, 1, 2]),  # 01:00, 02:00, 02:00 again, 03:00
    ],
    ids=["plain", "spring", "autumn"],
)
def test_a_night_in_berlin(day: date, utc_hours: list[int]) -> None:
    assert [start.hour for start in day_starts(NIGHT, 60, "Europe/Berlin", day)] == utc_hours
