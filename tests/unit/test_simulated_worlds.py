"""Thousands of short random worlds: the pacing, the rules of claims and outcomes, and everything that can go wrong.

A world that breaks a promise is named by its seed, and ``live(seed)`` plays it again, event by event.
"""

from __future__ import annotations

import pytest

from loadtest.simulate.chance import live

WORLDS, IN_ONE_TEST = 2_000, 200


@pytest.mark.parametrize("first", range(0, WORLDS, IN_ONE_TEST))
def test_whatever_goes_wrong_the_promises_hold(first: int) -> None:
    for seed in range(first, first + IN_ONE_TEST):
        try:
            live(seed)
        except Exception as error:
            raise AssertionError(f"world {seed}") from error


def test_a_world_is_the_same_whenever_it_is_played() -> None:
    one, again = live(7), live(7)
    assert one.clock.now == again.clock.now
    assert one.calls == again.calls
    assert {key: (each.state, each.decided) for key, each in one.store.bookings.items()} == {
        key: (each.state, each.decided) for key, each in again.store.bookings.items()
    }
