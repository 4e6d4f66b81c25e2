"""How many confirm workers are wanted, and when they come and go."""

from __future__ import annotations

from itertools import cycle, islice, pairwise
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.pacing.need import START_SECONDS, Growth, calls_needed, workers_desired
from workers.supervise.scaling import Scaler

LEAST, MOST, DOWN_AFTER, STEP = 1, 6, 60.0, 15.0
Run = list[tuple[float, int, int]]
"""(now, desired, workers there are from then on)"""


def scaler() -> Scaler:
    return Scaler(least=LEAST, most=MOST, down_after_seconds=DOWN_AFTER, step_seconds=STEP)


def play(desires: list[tuple[float, int]], running: int = LEAST) -> Run:
    """Ask after so many seconds each, do as it says."""
    decides, now, run = scaler(), 0.0, []
    for seconds, desired in desires:
        now += seconds
        running = decides.decide(now, desired, running)
        run.append((now, desired, running))
    return run


any_needs = st.lists(st.tuples(st.floats(0.1, 40.0), st.integers(0, MOST + 3)), min_size=1, max_size=60)


@given(any_needs, st.integers(LEAST, MOST))
def test_what_is_desired_is_there_at_once_and_never_out_of_bounds(needs: list[tuple[float, int]], first: int) -> None:
    for _, desired, running in play(needs, first):
        assert LEAST <= running <= MOST
        assert running >= min(desired, MOST)


@given(any_needs, st.integers(LEAST, MOST))
def test_a_worker_goes_when_it_was_not_needed_for_long_and_one_at_a_time(
    needs: list[tuple[float, int]], first: int
) -> None:
    run = [(0.0, first, first), *play(needs, first)]
    steps = [(then, now) for then, now in pairwise(run) if now[2] < then[2]]
    for (_, _, before), (now, _, after) in steps:
        assert after == before - 1
        recently = [desired for at, desired, _ in run if now - DOWN_AFTER < at <= now]
        assert max(recently) < before, "so many were desired a short while ago"
    for (_, (earlier, _, _)), (_, (later, _, _)) in pairwise(steps):
        assert later - earlier >= STEP


@given(
    st.integers(LEAST, MOST - 1),
    st.lists(st.booleans(), min_size=1, max_size=20),
    st.floats(0.5, DOWN_AFTER / 25),
    st.integers(LEAST, MOST),
)
def test_a_need_that_goes_up_and_down_around_a_boundary_never_flaps(
    boundary: int, pattern: list[bool], every_seconds: float, first: int
) -> None:
    """Whatever the pattern, its peaks come back within DOWN_AFTER: after the first of them nothing comes or goes."""
    ups = [*pattern, True]
    run = play([(every_seconds, boundary + up) for up in islice(cycle(ups), 400)], first)
    peak = next(at for at, (_, desired, _) in enumerate(run) if desired == boundary + 1)
    there = [running for _, _, running in run[peak:]]
    assert not [1 for one, next_ in pairwise(there) if next_ > one], "nobody comes back who has gone"
    assert there[-1] >= boundary + 1


@given(st.integers(0, MOST + 3), st.integers(LEAST, MOST))
def test_in_the_end_there_are_as_many_as_are_desired(desired: int, first: int) -> None:
    seconds = DOWN_AFTER + MOST * STEP
    run = play([(1.0, desired)] * int(seconds + 2), first)
    assert run[-1][2] == min(max(desired, LEAST), MOST)


def test_a_rush_and_its_end() -> None:
    run = play([(1.0, 1), (1.0, 4), (1.0, 4)] + [(1.0, 1)] * 120)
    changes = [(now, running) for (_, _, before), (now, _, running) in pairwise(run) if running != before]
    assert changes == [(2.0, 4), (63.0, 3), (78.0, 2), (93.0, 1)]


def test_what_was_desired_before_it_was_asked_counts_as_everything() -> None:
    run = play([(1.0, 1)] * 100, running=3)
    assert [running for _, _, running in run].index(2) == DOWN_AFTER


def test_more_than_may_be_go_at_once() -> None:
    assert scaler().decide(0.0, MOST + 2, MOST + 5) == MOST


@pytest.mark.parametrize(("least", "most"), [(0, 1), (3, 2)])
def test_bounds_that_contradict_each_other_are_refused(least: int, most: int) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        Scaler(least=least, most=most)


def need(line: int, *, limit: int = 10, down: bool = False, growth: float = 0.0) -> int:
    return calls_needed(
        line=line, call_seconds=2.0, limit=limit, breaker_open=down, wait_target_seconds=60.0, growth=growth
    )


def test_a_line_that_only_its_clinic_can_shorten_asks_for_no_more_than_the_clinic_takes() -> None:
    assert need(10_000, limit=4) == 4
    assert need(10_000, down=True) == 0


def test_a_line_asks_for_what_meets_the_target_and_for_no_more_than_it_has() -> None:
    assert (need(0), need(1), need(31), need(150)) == (0, 1, 2, 5)
    assert need(1, limit=10) == 1


def test_a_line_that_grows_asks_for_what_it_will_be_when_a_worker_that_comes_for_it_calls() -> None:
    assert need(10, growth=8.0) == need(10 + round(8 * START_SECONDS)) == 3
    assert need(10_000, growth=100.0, limit=4) == 4, "no more than the clinic takes"
    assert need(10_000, growth=100.0, down=True) == 0
    assert need(0, growth=5.0) == 0, "a line that is not there is not waited in"


def test_growth_is_what_lines_gain_a_second_whether_they_are_told_of_often_or_in_steps() -> None:
    often, steps = Growth(), Growth()
    for growth in (often, steps):
        growth.saw("A", -1, 0, -1.0)
    told = [
        (often.saw("A", second, 2 * second, second), steps.saw("A", second, second // 5 * 10, second))
        for second in range(31)
    ]
    assert told[0] == (0.0, 0.0), "what it grew before is not known"
    assert told[5][0] == pytest.approx(2 * (1 - exp(-1)))
    assert told[30][0] == pytest.approx(2, rel=0.01)
    assert sum(each for _, each in told[11:31]) / 20 == pytest.approx(2, rel=0.15)
    assert all(often.saw("A", 30 + second, 60 - 3 * second, 30 + second) < 2 for second in range(1, 20))
    assert often.saw("A", 50, 0, 50) == 0, "a line that shrinks does not grow by less than nothing"


def test_a_clinic_that_comes_back_begins_anew() -> None:
    """What was told of it before, perhaps long ago, is nothing that it has grown from."""
    growth = Growth()
    growth.saw("A", 7, 0, 0.0)
    growth.keep({"B"})
    assert growth.saw("A", 7, 0, 100.0) == 0.0
    assert growth.saw("A", 7, 0, 101.0) == 0.0
    assert growth.saw("A", 90, 500, 102.0) == 0.0, "the first word since it is back"
    assert growth.saw("A", 90, 500, 102.0) == 0.0, "no time has passed"
    assert growth.saw("A", 91, 510, 103.0) > 1


def test_a_rush_is_met_by_all_its_workers_at_once_and_not_by_one_after_the_other() -> None:
    """57 clinics, two bookings a second each and nobody yet to take them, 24 calls a worker, a target of 30 s: what
    the rush comes to need is wanted before half of it is there to be seen.
    """
    seen: list[int] = []
    blind: list[int] = []
    growth = Growth()
    for second in range(16):
        grows = growth.saw("A", second, 2 * second, second)
        for wanted, rate in ((seen, grows), (blind, 0.0)):
            calls = calls_needed(
                line=2 * second, call_seconds=2.0, limit=8, breaker_open=False, wait_target_seconds=30.0, growth=rate
            )
            wanted.append(workers_desired([calls] * 57, 24))
    assert blind.index(5) == 8
    assert seen.index(5) <= 4
    assert seen[10] >= blind[15], "that much earlier"


def test_workers_carry_all_clinics_needs_together() -> None:
    assert workers_desired([], 8) == 1
    assert workers_desired([4.0, 4.0], 8) == 1
    assert workers_desired([4.0, 5.0], 8) == 2
