"""When the load sender's requests are due."""

import itertools
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.arrivals import Constant, MondaySpike, Poisson, Profile, Surge, offsets

rates = st.floats(0.5, 200)
lengths = st.floats(0, 20)
spikes = st.builds(
    lambda base, extra, seconds, opens, ramp, half: MondaySpike(base, base + extra, seconds, opens, ramp, half),
    rates,
    rates,
    lengths,
    st.floats(0, 20),
    st.floats(0, 5),
    st.floats(0.1, 60),
)
surges = st.builds(Surge, st.floats(0.1, 20), st.floats(1, 10), st.floats(0, 20), lengths, lengths)
profiles = st.one_of(st.builds(Constant, rates, lengths), st.builds(Poisson, rates, lengths), spikes, surges)

SPIKE = MondaySpike(base_rate=5, peak_rate=200, seconds=120, opens_after=30, ramp_seconds=10, half_life_seconds=20)


@given(profile=profiles, seed=st.integers())
def test_offsets_ascend_within_the_run_and_repeat_with_the_seed(profile: Profile, seed: int) -> None:
    due = list(offsets(profile, seed))
    assert all(a <= b for a, b in itertools.pairwise(due))
    assert all(0 <= offset < profile.seconds for offset in due)
    assert due == list(offsets(profile, seed))


@given(rate=st.integers(1, 5000), tenths=st.integers(0, 100))
def test_a_constant_rate_sends_rate_times_seconds(rate: int, tenths: int) -> None:
    due = list(offsets(Constant(rate, tenths / 10), seed=1))
    assert len(due) == math.ceil(rate * tenths / 10)
    assert due[:2] == [0.0, 1 / rate][: len(due)]


def test_poisson_arrivals_have_their_rate_and_their_unevenness() -> None:
    due = list(offsets(Poisson(100, 200), seed=7))
    assert len(due) == pytest.approx(20_000, abs=4 * math.sqrt(20_000))
    per_second = [sum(1 for _ in group) for _, group in itertools.groupby(due, key=int)]
    mean = sum(per_second) / len(per_second)
    variance = sum((n - mean) ** 2 for n in per_second) / len(per_second)
    assert variance / mean == pytest.approx(1, abs=0.4), "a Poisson count varies as much as its mean"


def test_a_monday_is_quiet_until_the_lines_open_then_peaks_and_ebbs() -> None:
    assert [SPIKE.rate_at(offset) for offset in (0, 29.9, 35, 40, 60)] == pytest.approx([5, 5, 102.5, 200, 102.5])
    due = list(offsets(SPIKE, seed=3))
    night, peak, ebb = (sum(1 for d in due if a <= d < a + 10) for a in (10, 36, 100))
    assert peak > 15 * night
    assert night < ebb < peak / 3
    expected = sum(SPIKE.rate_at(t / 10) / 10 for t in range(1200))
    assert len(due) == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_a_surge_begins_and_ends_sharply() -> None:
    due = list(offsets(Surge(rate=20, times=10, begins_after=20, lasts_seconds=10, seconds=60), seed=3))
    before, during, after = (sum(1 for d in due if a <= d < b) for a, b in ((0, 20), (20, 30), (30, 60)))
    assert before == pytest.approx(400, abs=4 * math.sqrt(400))
    assert during == pytest.approx(2_000, abs=4 * math.sqrt(2_000))
    assert after == pytest.approx(600, abs=4 * math.sqrt(600))


def test_a_spike_below_its_base_is_refused() -> None:
    plan = {"type": "monday_spike", "base_rate": 9, "peak_rate": 3, "seconds": 1}
    more = {"opens_after": 0, "ramp_seconds": 1, "half_life_seconds": 1}
    with pytest.raises(msgspec.ValidationError, match="peak_rate"):
        msgspec.convert(plan | more, Profile)


def test_seeds_differ() -> None:
    assert list(offsets(Poisson(50, 2), seed=1)) != list(offsets(Poisson(50, 2), seed=2))
