"""Passes: nobody makes one for another booking, another time or an earlier generation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from waiting_room.passes import NotAPass, Pass, ends_at, link_to, read, sign

SECRET, BEFORE = "a secret for these tests only!!!", "the secret before it, of tests!!"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
MADE = Pass("0001-AAAA-BBBB-CCCC-DDDD", NOW + timedelta(days=3), 2)
TEXT = sign(SECRET, MADE)


def test_a_pass_says_which_booking_and_until_when() -> None:
    assert read([SECRET], TEXT, NOW) == MADE


def test_one_that_was_signed_before_the_secret_changed_still_opens() -> None:
    assert read([SECRET, BEFORE], sign(BEFORE, MADE), NOW) == MADE
    with pytest.raises(NotAPass, match="proof"):
        read([SECRET], sign(BEFORE, MADE), NOW)


def test_it_ends() -> None:
    read([SECRET], TEXT, MADE.ends_at - timedelta(seconds=1))
    with pytest.raises(NotAPass, match="ended"):
        read([SECRET], TEXT, MADE.ends_at)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT[:-1],
        f"{TEXT}\n",
        TEXT.replace("AAAA", "AAAB"),
        TEXT.replace(".2.", ".3."),
        TEXT.replace(f".{int(MADE.ends_at.timestamp())}.", f".{int(MADE.ends_at.timestamp()) + 1}."),
        TEXT[:-1] + ("b" if TEXT[-1] != "b" else "c"),
        TEXT.lower(),
        TEXT.replace("2", "٢"),
        TEXT.replace(".2.", ".02."),
    ],
)
def test_what_is_no_pass(text: str) -> None:
    with pytest.raises(NotAPass):
        read([SECRET], text, NOW)


def test_a_message_that_is_written_again_has_the_same_pass() -> None:
    at = datetime(2026, 11, 27, 9, 30, 0, 123, tzinfo=UTC)
    assert ends_at(at, 7) == datetime(2026, 12, 4, 9, 30, tzinfo=UTC)


def test_the_pass_is_where_no_server_sees_it() -> None:
    address, _, fragment = link_to("https://book.example/", TEXT).partition("#")
    assert (address, fragment) == ("https://book.example/pass", TEXT)
