"""Links to unsubscribe: nobody makes one for another patient or channel."""

from __future__ import annotations

import pytest

from waiting_room.domain.notifications import Channel
from waiting_room.unsubscribe import NotAToken, read_token, token_of

SECRET = "a secret for these tests only!!!"
REF = "0001-AAAA-BBBB-CCCC-DDDD"
TOKEN = token_of(SECRET, REF, "email")


def test_a_token_says_which_booking_and_channel() -> None:
    assert read_token(SECRET, TOKEN) == (REF, Channel.EMAIL)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TOKEN[:-1],
        f"{TOKEN}\n",
        TOKEN.replace("email", "sms"),
        TOKEN.replace("email", "pigeon"),
        TOKEN.replace("AAAA", "AAAB"),
        TOKEN[:-1] + ("a" if TOKEN[-1] != "a" else "b"),
        token_of("another secret, just as long....", REF, "email"),
    ],
)
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(NotAToken):
        read_token(SECRET, text)
