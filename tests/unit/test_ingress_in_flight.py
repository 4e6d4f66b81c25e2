"""How many commands may wait for Kafka: fewer while a queue stands, all of them again when it is gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingress.in_flight import FEWEST, STANDING_SECONDS, InFlightLimit

QUICK, SLOW = STANDING_SECONDS / 5, STANDING_SECONDS * 5


def interval(limit: InFlightLimit, *seconds: float) -> int:
    for each in seconds:
        limit.acknowledged(each)
    limit.look()
    return limit.allowed


def test_it_begins_with_all() -> None:
    assert InFlightLimit(400).allowed == 400


def test_a_burst_that_empties_costs_nothing() -> None:
    assert interval(InFlightLimit(400), SLOW, SLOW, QUICK) == 400


def test_a_hiccup_during_which_nothing_comes_back_costs_nothing() -> None:
    limit = InFlightLimit(400)
    assert [interval(limit) for _ in range(5)] == [400] * 5


def test_a_queue_that_stands_shrinks_it_down_to_a_few_and_no_further() -> None:
    limit = InFlightLimit(400)
    seen = [interval(limit, SLOW) for _ in range(20)]
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == FEWEST


def test_once_it_is_gone_all_may_wait_again() -> None:
    limit = InFlightLimit(400)
    for _ in range(20):
        interval(limit, SLOW)
    seen = [interval(limit, QUICK) for _ in range(60)]
    assert seen == sorted(seen)
    assert seen[-1] == 400


@given(most=st.integers(1, 100_000), answers=st.lists(st.lists(st.floats(0, 10)), max_size=60))
def test_it_stays_within_its_bounds(most: int, answers: list[list[float]]) -> None:
    limit = InFlightLimit(most)
    for seconds in answers:
        assert min(FEWEST, most) <= interval(limit, *seconds) <= most
