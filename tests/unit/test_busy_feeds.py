"""How often a calendar is read, and what tells that it has not changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from waiting_room.domain.busy_feeds import RARELY_SECONDS, address_to_read, again_seconds, digest_of, validator
from workers.busy_feeds import reader


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 900), (1, 900), (2, 1_800), (3, 3_600), (5, 14_400), (9_999, 14_400)]
)
def test_who_fails_is_asked_ever_more_rarely(failures: int, seconds: float) -> None:
    assert again_seconds(900, failures, 0.5) == pytest.approx(seconds)


@given(st.floats(0.1, 86_400), st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_pause_is_about_what_was_asked_for(every: float, failures: int, chance: float) -> None:
    assert every * 0.899 < again_seconds(every, failures, chance) < max(every, RARELY_SECONDS) * 1.101


def test_a_calendar_that_was_only_written_anew_has_not_changed() -> None:
    once = b"BEGIN:VEVENT\r\nDTSTAMP:20261126T090000Z\r\nUID:1\r\nEND:VEVENT\r\n"
    assert digest_of(once) == digest_of(once.replace(b"T09", b"T10"))
    assert digest_of(once) != digest_of(once.replace(b"UID:1", b"UID:2"))


def test_what_cannot_be_stored_or_sent_back_is_no_validator() -> None:
    assert validator('W/"1"') == 'W/"1"'
    assert [validator(each) for each in (None, "", "x" * 600, "\udcff", "a\x00b", "ä")] == [None] * 6


def test_calendar_programs_say_webcal() -> None:
    assert address_to_read("webcal://example.org/a:b") == "https://example.org/a:b"
    assert address_to_read("WEBCAL://example.org/") == "https://example.org/"
    assert [address_to_read(each) for each in ("http://a/", "webcal", "webcal.example")] == [
        "http://a/",
        "webcal",
        "webcal.example",
    ]


def test_what_has_not_happened_yet_is_counted_as_none() -> None:
    for outcome in reader.OUTCOMES:
        assert REGISTRY.get_sample_value("waiting_room_busy_feeds_total", {"outcome": outcome}) is not None
