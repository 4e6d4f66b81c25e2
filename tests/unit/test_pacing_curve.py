"""Where more calls side by side only make a clinic slower, told from how long they take."""

from __future__ import annotations

from math import log
from random import Random

import pytest

from workers.pacing.curve import Curve


def seen(capacity: int, highest: int, calls: int, seed: int = 1, sigma: float = 0.3) -> Curve:
    """Calls spread over 1 to ``highest`` side by side at a clinic that shares its time beyond ``capacity``."""
    random, curve = Random(seed), Curve()
    for _ in range(calls):
        in_flight = random.randint(1, highest)
        curve.add(in_flight, log(1.7) + random.gauss(0, sigma) + max(log(in_flight / capacity), 0.0))
    return curve


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 8])
def test_the_knee_is_the_capacity(capacity: int) -> None:
    knee = seen(capacity, 2 * capacity + 2, 600).knee_below(2 * capacity + 2)
    assert knee is not None
    assert abs(knee.calls - capacity) <= max(1, capacity // 4)
    assert knee.evidence > 5


def test_there_is_no_evidence_for_a_knee_where_there_is_none() -> None:
    for seed in range(20):
        knee = seen(64, 8, 400, seed).knee_below(8)
        assert knee is None or knee.evidence < 3


def test_one_height_alone_tells_nothing() -> None:
    curve = Curve()
    for _ in range(50):
        curve.add(4, 1.0)
    assert curve.knee_below(4) is None
    assert curve.usual(4, least_calls=10) == pytest.approx(1.0)
    assert curve.usual(5, least_calls=1) is None


def test_yesterdays_pace_is_forgotten() -> None:
    curve = Curve()
    for _ in range(1_000):
        curve.add(2, 0.0)
    for _ in range(1_000):
        curve.add(2, 1.0)
    usual = curve.usual(2, least_calls=10)
    assert usual is not None
    assert usual > 0.95
