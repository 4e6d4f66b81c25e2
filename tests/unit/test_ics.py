"""What a calendar says is busy, as the programs write it that clinics use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.calendar_server import busy_at, calendar
from waiting_room.ics import Job, Span, Unreadable, read_busy

NOW = datetime(2026, 11, 26, tzinfo=UTC)
NINE = "DTSTART;TZID=Europe/Berlin:20261127T090000|DURATION:PT1H"
DAILY = f"UID:a|{NINE}|RRULE:FREQ=DAILY;COUNT=3"
OF_THE_SECOND = "UID:a|RECURRENCE-ID;TZID=Europe/Berlin:20261128T090000"
ZONE = "|".join(
    [
        "BEGIN:VTIMEZONE",
        "TZID:Practice",
        "BEGIN:STANDARD",
        "DTSTART:16010101T000000",
        "TZOFFSETFROM:+0500",
        "TZOFFSETTO:+0500",
        "END:STANDARD",
        "END:VTIMEZONE",
    ]
)


def read(body: bytes, timezone: str = "Europe/Berlin") -> tuple[Span, ...]:
    return read_busy(Job(body, timezone, NOW, NOW + timedelta(days=20)))


def told(*events: str, before: str = "") -> list[str]:
    """From when to when, in UTC."""
    return sorted(f"{each.from_at:%dT%H:%M}/{each.to_at:%dT%H:%M}" for each in read(calendar(*events, before=before)))


@pytest.mark.parametrize(
    ("events", "busy"),
    [
        pytest.param([NINE], ["27T08:00/27T09:00"], id="a zone by its name"),
        pytest.param(
            ["DTSTART;TZID=W. Europe Standard Time:20261127T090000|DURATION:PT1H"],
            ["27T08:00/27T09:00"],
            id="a zone by Windows' name",
        ),
        pytest.param(["DTSTART:20261127T090000|DURATION:PT1H"], ["27T08:00/27T09:00"], id="on the clinic's clock"),
        pytest.param(
            ["DTSTART;VALUE=DATE:20261127|DTEND;VALUE=DATE:20261129"], ["26T23:00/28T23:00"], id="days, not the last"
        ),
        pytest.param(["DTSTART;VALUE=DATE:20261127"], ["26T23:00/27T23:00"], id="a day"),
        pytest.param([f"{NINE}|STATUS:CANCELLED", f"{NINE}|TRANSP:TRANSPARENT"], [], id="nothing"),
        pytest.param([f"{NINE}|STATUS:TENTATIVE"], ["27T08:00/27T09:00"], id="perhaps"),
        pytest.param([f"UID:0001-X@waiting-room|{NINE}"], [], id="ours"),
        pytest.param(
            [f"{DAILY}|EXDATE;TZID=Europe/Berlin:20261128T090000"],
            ["27T08:00/27T09:00", "29T08:00/29T09:00"],
            id="but not then",
        ),
        pytest.param(
            [DAILY, f"{OF_THE_SECOND}|DTSTART;TZID=Europe/Berlin:20261128T150000|DURATION:PT1H"],
            ["27T08:00/27T09:00", "28T14:00/28T15:00", "29T08:00/29T09:00"],
            id="one of them moved",
        ),
        pytest.param(
            [DAILY, f"{OF_THE_SECOND}|DTSTART;TZID=Europe/Berlin:20261128T090000|DURATION:PT1H|STATUS:CANCELLED"],
            ["27T08:00/27T09:00", "29T08:00/29T09:00"],
            id="one of them cancelled",
        ),
        pytest.param(
            [f"{NINE}|RDATE;TZID=Europe/Berlin:20261130T110000"],
            ["27T08:00/27T09:00", "30T10:00/30T11:00"],
            id="then as well",
        ),
        pytest.param(
            ["DTSTART;TZID=America/New_York:20261127T210000|DURATION:PT1H|RRULE:FREQ=DAILY;UNTIL=20261129"],
            ["28T02:00/28T03:00", "29T02:00/29T03:00", "30T02:00/30T03:00"],
            id="until a day, all of it",
        ),
        pytest.param(
            ["DTSTART;VALUE=DATE:20261127|RRULE:FREQ=DAILY;UNTIL=20261128"],
            ["26T23:00/27T23:00", "27T23:00/28T23:00"],
            id="days until a day",
        ),
    ],
)
def test_an_event_is_busy(events: list[str], busy: list[str]) -> None:
    assert told(*events) == busy


def test_a_zone_may_be_the_calendars_own() -> None:
    assert told("DTSTART;TZID=Practice:20261127T090000|DURATION:PT1H", before=ZONE) == ["27T04:00/27T05:00"]


def test_who_publishes_only_when_they_are_busy_is_understood() -> None:
    said = "|".join(
        [
            "BEGIN:VFREEBUSY",
            "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20261127T090000Z/20261127T100000Z,20261128T090000Z/PT1H",
            "FREEBUSY;FBTYPE=FREE:20261127T110000Z/20261127T120000Z",
            "FREEBUSY:20261129T110000Z/20261129T120000Z",
            "FREEBUSY:20270629T110000Z/20270629T120000Z",
            "END:VFREEBUSY",
        ]
    )
    assert told(before=said) == ["27T09:00/27T10:00", "28T09:00/28T10:00", "29T11:00/29T12:00"]


def test_a_mark_of_the_byte_order_is_no_part_of_it() -> None:
    assert len(read(b"\xef\xbb\xbf" + calendar(NINE))) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Please log in, Jane Doe</html>",
        calendar(NINE)[:-20],
        calendar(NINE) * 2,
        calendar(NINE).partition(b"VERSION:2.0\r\nPRODID:test\r\n")[2].removesuffix(b"END:VCALENDAR\r\n"),
        calendar("SUMMARY:Jane Doe|DTSTART:Jane Doe"),
        calendar(f"{NINE}|RRULE:FREQ=MINUTELY"),
    ],
)
def test_what_cannot_be_read_as_a_whole_is_not_read(body: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        read(body)
    assert "Jane" not in refused.value.safe, "what is stored and logged of it quotes nothing"


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 9), st.integers(0, 3)), max_size=8))
def test_the_same_events_are_the_same_busy_times_in_any_order(
    made: list[tuple[int, int, int]],
) -> None:
    events = [
        busy_at(
            NOW + timedelta(hours=hour), f"UID:{number}", f"RRULE:FREQ=DAILY;COUNT={1 + again}", minutes=15 * length
        )
        for number, (hour, length, again) in enumerate(made)
    ]
    once = read(calendar(*events))
    assert len({each.busy_id for each in once}) == len(once)
    events.reverse()
    assert set(read(calendar(*events))) == set(once)
    assert read(calendar(*events)) == read(calendar(*events))
