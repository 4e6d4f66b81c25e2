"""Every change of the clocks from 2026 to 2030, in zones of every kind: no slot lost, doubled or off by an hour.

The oracle knows no arithmetic of clocks: it watches one, minute by minute, through each day.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waiting_room.domain.availability.expand import Calendar, day_starts, is_open
from waiting_room.domain.availability.rules import Availability, Break, Override, OverrideKind, Weekly, minutes_of

ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",  # half an hour off
    "America/Havana",  # changes at midnight
    "America/Santiago",  # springs forward at midnight
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Auckland",
    "Pacific/Chatham",  # 45 minutes off
    "Africa/Cairo",  # springs forward at midnight, falls back into the day before
    "Africa/Casablanca",  # goes back for Ramadan and forward after it
    "Asia/Beirut",  # changes at midnight
    "Asia/Jerusalem",
    "Antarctica/Troll",  # changes by two hours
)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
HALF_HOURS_A_DAY = 48


@cache
def changes(timezone: str) -> tuple[date, ...]:
    """The days, by the zone's own clock, in which its offset changes from 2026 to 2030."""
    zone = ZoneInfo(timezone)
    found: set[date] = set()
    at, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    while at < end:
        until = at + timedelta(minutes=30)
        if at.astimezone(zone).utcoffset() != until.astimezone(zone).utcoffset():
            found.update((at.astimezone(zone).date(), until.astimezone(zone).date()))
        at = until
    return tuple(sorted(found))


@cache
def watched(timezone: str, day: date) -> tuple[tuple[datetime, ...], tuple[datetime, ...]]:
    """Each minute around the day, and the latest time the clock has shown by then."""
    zone = ZoneInfo(timezone)
    first = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=16)
    instants = tuple(first + minute * MINUTE for minute in range(56 * 60))
    latest, shown = [], datetime.min  # noqa: DTZ901 - what a clock on the wall shows
    for each in instants:
        shown = max(shown, each.astimezone(zone).replace(tzinfo=None))
        latest.append(shown)
    return instants, tuple(latest)


def first_shown(timezone: str, day: date, wall: str) -> datetime:
    """The first minute at which the clock shows ``wall`` of ``day`` or later."""
    instants, latest = watched(timezone, day)
    wanted = datetime.combine(day, time.min) + minutes_of(wall) * MINUTE
    return instants[bisect_left(latest, wanted)]


def expected(availability: Availability, timezone: str, day: date, minutes: int) -> list[datetime]:
    """By watching the clock: every start of every rule, less those that reach into a break."""
    closed = [
        (first_shown(timezone, day, each.from_), first_shown(timezone, day, each.to)) for each in availability.breaks
    ]
    starts = []
    for rule in availability.weekly:
        start, closes = first_shown(timezone, day, rule.from_), first_shown(timezone, day, rule.to)
        while start + minutes * MINUTE <= closes:
            if not any(since < start + minutes * MINUTE and start < until for since, until in closed):
                starts.append(start)
            start += rule.slot_minutes * MINUTE
    return sorted(starts)


def on(day: date, *spans: tuple[str, str], slot: int = 30) -> tuple[Weekly, ...]:
    return tuple(Weekly(weekday=day.isoweekday(), from_=begins, to=ends, slot_minutes=slot) for begins, ends in spans)


def wall(quarter: int) -> str:
    return f"{quarter // 4:02}:{quarter % 4 * 15:02}"


quarters = st.lists(st.integers(0, 96), min_size=2, max_size=6, unique=True).map(sorted)
spans = quarters.map(lambda ends: [(wall(a), wall(b)) for a, b in pairwise(ends)][::2])


def test_the_zones_change_their_clocks_and_each_change_is_looked_at() -> None:
    assert len(ZONES) >= 12
    assert all(len(changes(timezone)) >= 8 for timezone in ZONES)


@pytest.mark.parametrize("timezone", ZONES)
def test_around_every_change_a_day_that_is_always_open_has_each_instant_once(timezone: str) -> None:
    always = Calendar(
        Availability(
            weekly=tuple(Weekly(weekday=day, from_="00:00", to="24:00", slot_minutes=30) for day in range(1, 8))
        )
    )
    zone = ZoneInfo(timezone)
    for change in changes(timezone):
        days = [change + offset * DAY for offset in range(-2, 3)]
        starts = [start for day in days for start in day_starts(always, 30, timezone, day)]
        assert all(later - earlier == 30 * MINUTE for earlier, later in pairwise(starts)), change
        first, last = first_shown(timezone, days[0], "00:00"), first_shown(timezone, days[-1] + DAY, "00:00")
        assert (starts[0], starts[-1] + 30 * MINUTE) == (first, last)
        assert all(is_open(always, timezone, start, start + 30 * MINUTE) for start in starts)
        for day in days:
            assert {start.astimezone(zone).date() for start in day_starts(always, 30, timezone, day)} == {day}


@pytest.mark.parametrize("timezone", ZONES)
def test_office_hours_begin_when_the_clock_says_so_on_both_sides_of_every_change(timezone: str) -> None:
    office = Calendar(
        Availability(
            weekly=tuple(Weekly(weekday=day, from_="08:00", to="17:00", slot_minutes=20) for day in range(1, 8)),
            breaks=(Break(from_="12:00", to="13:00"),),
        )
    )
    zone = ZoneInfo(timezone)
    for change in changes(timezone):
        for day in (change - DAY, change, change + DAY):
            shown = [f"{start.astimezone(zone):%H:%M}" for start in day_starts(office, 20, timezone, day)]
            minutes = [minute for minute in range(8 * 60, 17 * 60, 20) if minute // 60 != 12]
            assert shown == [f"{minute // 60:02}:{minute % 60:02}" for minute in minutes], day


@settings(deadline=None, max_examples=15)
@given(st.data())
@pytest.mark.parametrize("timezone", ZONES)
def test_starts_are_those_of_a_watched_clock_on_every_day_of_change(timezone: str, data: st.DataObject) -> None:
    minutes = data.draw(st.sampled_from((10, 30, 75)), "minutes")
    slot = data.draw(st.sampled_from((10, 15, 20, 45)), "slot")
    open_spans, breaks = data.draw(spans, "open"), data.draw(spans, "breaks")
    for day in changes(timezone):
        availability = Availability(
            weekly=on(day, *open_spans, slot=slot), breaks=tuple(Break(from_=a, to=b) for a, b in breaks)
        )
        found = day_starts(Calendar(availability), minutes, timezone, day)
        assert list(found) == expected(availability, timezone, day, minutes), (day, availability)


@settings(deadline=None, max_examples=10)
@given(st.data())
@pytest.mark.parametrize("timezone", ZONES)
def test_overrides_are_instants_whatever_the_clocks_do(timezone: str, data: st.DataObject) -> None:
    """A block takes out what it overlaps and nothing else; an extension adds its own grid, over midnight too."""
    for change in changes(timezone):
        begins = first_shown(timezone, change, "00:00") + data.draw(st.integers(-120, 1_500), "begins") * MINUTE
        override = Override(
            override_id="1",
            kind=data.draw(st.sampled_from(OverrideKind), "kind"),
            from_at=begins,
            to_at=begins + data.draw(st.integers(15, 600), "length") * MINUTE,
            slot_minutes=25,
        )
        office = Availability(weekly=on(change, ("07:00", "15:00")))
        around = [change + offset * DAY for offset in (-2, -1, 0, 1, 2, 3)]
        plain = [start for day in around for start in day_starts(Calendar(office), 20, timezone, day)]
        found = [start for day in around for start in day_starts(Calendar(office, (override,)), 20, timezone, day)]
        assert sorted(set(found)) == sorted(found)
        length = 20 * MINUTE
        if override.kind is OverrideKind.BLOCK:
            assert found == [
                start for start in plain if not (start < override.to_at and override.from_at < start + length)
            ]
        else:
            grid = (override.from_at + step * 25 * MINUTE for step in range(HALF_HOURS_A_DAY))
            assert set(found) == set(plain) | {start for start in grid if start + length <= override.to_at}
