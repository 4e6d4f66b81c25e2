"""What may be dead-lettered: as much as successes have paid for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.pacing.tokens import EARNED_BY_A_SUCCESS, FIRST, MOST, Tokens


@given(st.lists(st.booleans(), max_size=2_000))
def test_no_more_is_spent_than_was_earned(successes: list[bool]) -> None:
    tokens, earned, spent = Tokens(), FIRST, 0
    for success in successes:
        if success:
            tokens.earn()
            earned += EARNED_BY_A_SUCCESS
        else:
            spent += tokens.spend()
        assert spent <= earned + 1e-6


def test_an_outage_after_any_number_of_good_days_cannot_empty_a_line() -> None:
    tokens = Tokens()
    for _ in range(100_000):
        tokens.earn()
    assert sum(tokens.spend() for _ in range(10_000)) <= MOST


def test_the_first_bad_record_goes_aside_at_once() -> None:
    tokens = Tokens()
    assert tokens.spend()
    assert not tokens.spend()
