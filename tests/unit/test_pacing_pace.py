"""How fast a clinic's line moves, as its calls tell it."""

from __future__ import annotations

from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.pacing.pace import OUTLIER, ClinicPace, Running

seconds = st.floats(0.1, 100)


@given(st.lists(seconds, min_size=1, max_size=20))
def test_the_first_values_count_equally_but_for_outliers(values: list[float]) -> None:
    running = Running()
    counted: list[float] = []
    for value in values:
        counted.append(min(value, OUTLIER * fmean(counted)) if counted else value)
        running.add(value)
    assert running.mean == pytest.approx(fmean(counted))
    if len(values) >= 5:
        assert running.sigma == pytest.approx(pstdev(counted), abs=1e-6)


def test_a_change_is_followed() -> None:
    running = Running()
    for value in [2.0] * 100 + [4.0] * 100:
        running.add(value)
    assert running.mean == pytest.approx(4.0, rel=0.01)


def test_nothing_is_known_of_a_clinic_that_decided_nothing() -> None:
    pace = ClinicPace()
    pace.called(2.0)
    assert pace.slot.mean is pace.decision.mean is None


def test_calls_in_vain_count_for_the_booking_that_is_decided_next() -> None:
    pace = ClinicPace()
    for moment in range(10):
        pace.called(2.0)
        pace.called(1.0)
        pace.decided(7.0, float(moment))
    assert pace.slot.mean == pytest.approx(3.0)
    assert pace.decision.mean == pytest.approx(7.0)


def test_what_began_before_an_outage_was_over_tells_nothing() -> None:
    pace = ClinicPace()
    pace.called(2.0)
    pace.decided(2.0, 10.0)
    pace.called(500.0)
    pace.down(600.0)
    pace.called(3.0)
    pace.decided(590.0, 605.0)
    assert (pace.slot.mean, pace.decision.mean) == (2.0, 2.0)
    pace.called(2.0)
    pace.decided(2.0, 610.0)
    assert (pace.slot.mean, pace.decision.mean) == (2.0, 2.0)


def test_what_began_before_anybody_was_here_to_call_tells_nothing() -> None:
    """A worker was away for an hour: what it left is decided late, and the clinic is as fast as ever."""
    pace = ClinicPace(since=1_000.0)
    pace.called(2.0)
    pace.decided(3_600.0, 1_002.0)
    pace.called(2.0)
    pace.decided(2.0, 1_005.0)
    assert (pace.slot.mean, pace.decision.mean) == (2.0, 2.0)
