"""Buckets: a burst up to the quota, then as fast as they refill; what is told is what is so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingress.rate_limit import Limit, Limits


def test_a_burst_up_to_the_quota_and_then_at_the_pace_of_refilling() -> None:
    limit = Limit("patient", 3, 60)
    assert [limit.take("anna", 0.0).remaining for _ in range(3)] == [2, 1, 0]
    refused = limit.take("anna", 0.0)
    assert (refused.remaining, refused.retry_seconds) == (0, 20)
    assert limit.take("ben", 0.0).retry_seconds == 0
    assert limit.take("anna", 19.0).retry_seconds == 1
    assert limit.take("anna", 20.0).retry_seconds == 0
    assert limit.take("anna", 20.0).retry_seconds == 20


def test_who_waits_as_told_is_let_in() -> None:
    limit = Limit("patient", 2, 60)
    limit.take("anna", 0.0)
    limit.take("anna", 1.5)
    refused = limit.take("anna", 7.25)
    assert limit.take("anna", 7.25 + refused.retry_seconds).retry_seconds == 0


@given(st.lists(st.floats(0, 20), max_size=80), st.integers(1, 10))
def test_no_window_lets_more_in_than_two_quotas(pauses: list[float], quota: int) -> None:
    """The quota that was saved up, and what refills meanwhile."""
    limit, now, let_in = Limit("app", quota, 60), 0.0, []
    for pause in pauses:
        now += pause
        if limit.take("app", now).retry_seconds == 0:
            let_in.append(now)
    for first in let_in:
        assert sum(first <= each < first + 60 for each in let_in) <= 2 * quota


def test_the_least_recent_are_forgotten() -> None:
    limit = Limit("patient", 1, 60, remembered=2)
    for caller in ("a", "b", "c"):
        limit.take(caller, 0.0)
    assert limit.take("c", 0.0).retry_seconds == 60
    assert limit.take("a", 0.0).retry_seconds == 0


def test_the_fields_are_those_of_the_draft() -> None:
    limits = Limits(app_per_second=1, patient_per_minute=1)
    assert limits.policy == '"app";q=10;w=10, "patient";q=1;w=60'
    assert limits.take("app", "anna", 0.0) == ('"app";r=9;t=1, "patient";r=0;t=60', None, 0)
    told, by, retry_seconds = limits.take("app", "anna", 0.0)
    assert (told, by, retry_seconds) == ('"app";r=8;t=2, "patient";r=0;t=60', "patient", 60)
    for _ in range(8):
        limits.take("app", None, 0.0)
    assert limits.take("app", "ben", 0.0)[1:] == ("app", 1)
