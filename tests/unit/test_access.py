"""Keys: only the right secret of a key that still holds opens anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from waiting_room.access import SCOPES_OF, NotAToken, OwnerKind, Token, hash_of, make_token, opens, parse_token
from waiting_room.messages import AccessKey

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


def key_of(token: Token) -> AccessKey:
    return AccessKey(
        key_id=token.key_id,
        owner_kind=OwnerKind.APP,
        owner_id="app-1",
        secret_hash=hash_of(token.secret),
        scopes=SCOPES_OF[OwnerKind.APP],
    )


def test_a_token_is_read_back_as_it_was_made() -> None:
    token = make_token()
    assert parse_token(str(token)) == token
    assert make_token() != token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wr_",
        "wr_abcdefghijklmnop",
        "wr_abcdefghijklmnop_short",
        "WR_abcdefghijklmnop_abcdefghijklmnopqrstuvwxyz234567",
        "wr_abcdefghijklmnop_abcdefghijklmnopqrstuvwxyz234567\n",
        "wr_abcdefghijklmno0_abcdefghijklmnopqrstuvwxyz234567",
    ],
)
def test_other_text_is_no_token_and_is_not_repeated(text: str) -> None:
    with pytest.raises(NotAToken) as error:
        parse_token(text)
    assert len(text) < 10 or text not in str(error.value)


def test_a_token_hides_its_secret_from_logs() -> None:
    token = make_token()
    assert token.secret not in repr(token)


def test_the_right_token_opens_and_another_does_not() -> None:
    token, other = make_token(), make_token()
    key = key_of(token)
    assert opens(key, token, NOW)
    assert not opens(key, other, NOW)
    assert not opens(key, Token(token.key_id, other.secret), NOW)
    assert not opens(key, Token(other.key_id, token.secret), NOW)


def test_an_expired_or_revoked_key_opens_nothing() -> None:
    token = make_token()
    expiring = msgspec.structs.replace(key_of(token), expires_at=NOW)
    revoked = msgspec.structs.replace(key_of(token), revoked_at=NOW - timedelta(hours=1))
    assert opens(expiring, token, NOW - timedelta(microseconds=1))
    assert not opens(expiring, token, NOW)
    assert not opens(revoked, token, NOW)
