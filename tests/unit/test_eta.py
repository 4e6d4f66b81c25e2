"""When a booking will be decided: against a simulated clinic, and bounded whatever the line."""

from __future__ import annotations

from random import Random
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.eta import PACE_UNCERTAINTY, Pace


@pytest.mark.parametrize(("place", "limit"), [(1, 4), (4, 4), (5, 4), (40, 4), (40, 1), (200, 8)])
def test_waits_are_those_of_a_simulated_clinic(place: int, limit: int) -> None:
    """A pool of ``limit`` calls side by side, each of 1 to 3 s, worked off in order; its pace is known exactly."""
    random = Random(place * 1_000 + limit)
    waits = []
    for _ in range(2_000):
        free_at = [0.0] * limit
        for _ in range(place):
            first = min(range(limit), key=free_at.__getitem__)
            free_at[first] += random.uniform(1, 3)
            decided_at = free_at[first]
        waits.append(decided_at)
    expected, sigma = Pace(limit, 2.0, (4 / 12) ** 0.5).wait(place)
    by_chance = (sigma**2 - (PACE_UNCERTAINTY * expected) ** 2) ** 0.5
    assert mean(waits) == pytest.approx(expected, rel=0.1, abs=1.0)
    assert stdev(waits) == pytest.approx(by_chance, rel=0.35, abs=0.25)


@given(
    place=st.integers(1, 10**6),
    limit=st.floats(1, 100),
    call=st.floats(0.01, 600),
    sigma=st.floats(0, 600),
    longest=st.floats(1, 100_000),
)
def test_an_eta_is_a_range_that_ends_when_everything_is_decided(
    place: int, limit: float, call: float, sigma: float, longest: float
) -> None:
    eta = Pace(limit, call, sigma).eta(place, longest)
    assert 0 <= eta.p50 <= eta.p90 <= round(longest, 1)
