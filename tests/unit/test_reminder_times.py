"""When patients are reminded: leads, clocks that are set, quiet hours."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.quiet_hours import Quiet, QuietHours, news_at, quiet_hours_of, reminder_at
from waiting_room.domain.reminders import Lead, lead_of, leads_of, remind_at

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(time(21), time(8))
moments = st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: FIRST + timedelta(minutes=minutes))


def berlin(*when: int, fold: int = 0) -> datetime:
    return datetime(*when, tzinfo=BERLIN, fold=fold).astimezone(UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1.5h", "1w", "31d", "99999m", "1 h"])
def test_what_is_no_lead(text: str) -> None:
    with pytest.raises(ValueError, match=r"lead time|longer"):
        lead_of(text)


def test_leads_come_once_and_the_longest_first() -> None:
    assert leads_of(["1h", " 24h", "60m", "1h"]) == (Lead(24, "h"), Lead(1, "h"), Lead(60, "m"))


@pytest.mark.parametrize(
    ("start_at", "lead", "due_at"),
    [
        # Sunday 29 March 2026 has no 02:00 to 03:00: 24 hours before nine is eight on Saturday, a day before is nine.
        (berlin(2026, 3, 29, 9), "24h", berlin(2026, 3, 28, 8)),
        (berlin(2026, 3, 29, 9), "1d", berlin(2026, 3, 28, 9)),
        (berlin(2026, 3, 29, 3, 30), "1h", berlin(2026, 3, 29, 1, 30)),
        (berlin(2026, 3, 30, 2, 30), "1d", berlin(2026, 3, 29, 3, 30)),
        # Sunday 25 October 2026 has 02:00 to 03:00 twice.
        (berlin(2026, 10, 25, 9), "24h", berlin(2026, 10, 24, 10)),
        (berlin(2026, 10, 25, 9), "1d", berlin(2026, 10, 24, 9)),
        (berlin(2026, 10, 25, 3), "1h", berlin(2026, 10, 25, 2, fold=1)),
        (berlin(2026, 10, 26, 2, 30), "1d", berlin(2026, 10, 25, 2, 30)),
    ],
)
def test_hours_pass_and_days_are_the_calendars(start_at: datetime, lead: str, due_at: datetime) -> None:
    assert remind_at(lead_of(lead), start_at, BERLIN) == due_at


@given(moments, st.sampled_from(["30m", "1h", "24h", "1d", "7d"]))
def test_a_reminder_is_always_before_its_appointment(start_at: datetime, text: str) -> None:
    lead = lead_of(text)
    due_at = remind_at(lead, start_at, BERLIN)
    assert abs((start_at - due_at) - lead.length) <= timedelta(hours=1)
    assert due_at < start_at


@pytest.mark.parametrize("text", ["", "21-8", "21:00", "21:00-21:00", "25:00-08:00", "21:00-08:00x"])
def test_what_are_no_quiet_hours(text: str) -> None:
    with pytest.raises(ValueError, match=r"form|length|hour"):
        quiet_hours_of(text)


def test_the_night_between_two_days_is_one_stretch() -> None:
    night = Quiet(berlin(2026, 3, 28, 21), berlin(2026, 3, 29, 8))
    assert quiet_hours_of("21:00-08:00") == NIGHT
    assert NIGHT.around(berlin(2026, 3, 28, 20, 59), BERLIN) is None
    assert NIGHT.around(berlin(2026, 3, 28, 21), BERLIN) == night
    assert NIGHT.around(berlin(2026, 3, 29, 7, 59), BERLIN) == night
    assert NIGHT.around(berlin(2026, 3, 29, 8), BERLIN) is None
    assert night.ends_at - night.began_at == timedelta(hours=10)  # clocks were set an hour ahead


@given(moments)
def test_whatever_the_time_it_is_in_the_stretch_it_is_said_to_be_in(at: datetime) -> None:
    quiet = NIGHT.around(at, BERLIN)
    wall = at.astimezone(BERLIN).time()
    assert (quiet is not None) == (wall >= time(21) or wall < time(8))
    assert quiet is None or quiet.began_at <= at < quiet.ends_at


def test_news_wait_for_the_morning_unless_that_is_too_late() -> None:
    at, night = berlin(2026, 6, 1, 23), NIGHT.around(berlin(2026, 6, 1, 23), BERLIN)
    assert news_at(at, berlin(2026, 6, 9, 9), night) == berlin(2026, 6, 2, 8)
    assert news_at(at, None, night) == berlin(2026, 6, 2, 8)
    assert news_at(at, berlin(2026, 6, 2, 7, 30), night) == at
    assert news_at(at, berlin(2026, 6, 9, 9), None) == at


def test_a_reminder_goes_round_the_night() -> None:
    now = berlin(2026, 6, 1, 12)

    def moved(start_at: datetime, lead: str, now: datetime = now) -> datetime | None:
        wanted = remind_at(lead_of(lead), start_at, BERLIN)
        return reminder_at(wanted, start_at, NIGHT.around(wanted, BERLIN), now)

    assert moved(berlin(2026, 6, 3, 12), "24h") == berlin(2026, 6, 2, 12)
    assert moved(berlin(2026, 6, 3, 7), "24h") == berlin(2026, 6, 2, 8)
    assert moved(berlin(2026, 6, 2, 8, 30), "1h") == berlin(2026, 6, 2, 8)  # half of the hour is left
    assert moved(berlin(2026, 6, 2, 8, 15), "1h") == berlin(2026, 6, 1, 20, 59)
    late = berlin(2026, 6, 1, 22)  # it was booked in the night: before the night is over
    assert moved(berlin(2026, 6, 2, 8, 15), "1h", late) == berlin(2026, 6, 2, 8)
    assert moved(berlin(2026, 6, 2, 8), "1h", late) is None
