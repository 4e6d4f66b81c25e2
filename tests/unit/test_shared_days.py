"""Which days of others may be used: judged by what has happened since they were read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingress.shared_days import KEPT_SECONDS, LentDay, since_of
from waiting_room.store.slots import NEVER, News, Touched

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)


def lent(seq: int, *, busy_version: int = 1, age_seconds: float = 5.0) -> LentDay:
    return LentDay(seq, busy_version, NOW - timedelta(seconds=age_seconds), NOW, NOW + timedelta(days=1), ())


def news(seq: int, touched: tuple[Touched, ...] | None = ()) -> News:
    return News("0001", seq, 1, 1, NOW, touched)


@pytest.mark.parametrize(
    ("own", "seqs", "since"),
    [
        (NEVER, [], NEVER),
        (70, [], 70),
        (NEVER, [500, 450], 450),
        (NEVER, [500, 399], 500),  # too old: for its sake too much would be asked
        (500, [450, 300], 450),
        (450, [500], 450),
        (900, [500], 900),
        (500, [900], 500),
    ],
)
def test_as_far_back_is_asked_as_serves_most(own: int, seqs: list[int], since: int) -> None:
    assert since_of(own, [lent(seq) for seq in seqs]) == since


@pytest.mark.parametrize(
    ("day", "since", "told", "may_be"),
    [
        (lent(10), 10, news(12), True),
        (lent(12), 10, news(12), True),
        (lent(9), 10, news(12), False),  # what happened between 9 and 10 was not asked for
        (lent(13), 10, news(12), False),  # of a database that has gone back since
        (lent(10, busy_version=2), 10, news(12), False),
        (lent(10), 10, news(900, None), False),
        (lent(10, age_seconds=KEPT_SECONDS + 1), 10, news(12), False),
        (lent(10, age_seconds=-1), 10, news(12), False),
    ],
)
def test_a_day_may_be_right_where_all_since_is_told(day: LentDay, since: int, told: News, *, may_be: bool) -> None:
    assert day.may_be_right(since, told) is may_be
