"""The limit that is searched, against simulated clinics in virtual time and under any sequence of events."""

from __future__ import annotations

from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from loadtest.clinics.behaviour import ClinicBehaviour
from tests.support.one_clinic import Drained, drain, watch
from workers.pacing.adaptive import IDLE_SECONDS, AdaptiveLimit, Remembered

CAPACITIES = range(1, 9)
SEEDS = range(4)
CEILING = 64
USUAL_SECONDS = 1.7


def remembered(limit: int) -> AdaptiveLimit:
    return AdaptiveLimit(CEILING, Remembered(limit, USUAL_SECONDS))


def drains(overload: str, *, warm: bool) -> list[Drained]:
    return [
        drain(
            remembered(capacity) if warm else AdaptiveLimit(CEILING),
            ClinicBehaviour(capacity=capacity, overload="slow" if overload == "slow" else "reject"),
            bookings=200 + 25 * (capacity - 1),
            seed=seed,
        )
        for seed in SEEDS
        for capacity in CAPACITIES
    ]


@pytest.mark.parametrize("overload", ["reject", "slow"])
def test_from_nothing_a_hidden_capacity_is_found_within_a_drain(overload: str) -> None:
    """The promise of the drain benchmark, without its sockets: 0.93 of capacity, 5% overload replies, 1.2 x latency."""
    found = drains(overload, warm=False)
    assert mean(each.efficiency for each in found) >= 0.95
    assert mean(each.overloads for each in found) <= 0.02
    assert mean(each.latency_ratio for each in found) <= 1.2


@pytest.mark.parametrize("overload", ["reject", "slow"])
def test_remembered_it_is_kept(overload: str) -> None:
    kept = drains(overload, warm=True)
    assert mean(each.efficiency for each in kept) >= 0.985
    assert mean(each.overloads for each in kept) <= 0.01
    assert mean(each.latency_ratio for each in kept) <= 1.05


SLOW, REJECT = {"overload": "slow"}, {"overload": "reject"}
CHANGES = [
    ("half the desk went home", {"capacity": 8}, {"capacity": 2}, 2),
    ("more people came", {"capacity": 2}, {"capacity": 8}, 8),
    ("everything takes four times as long", {"capacity": 6}, {"capacity": 6, "slow_factor": 4.0}, 6),
    ("everything got four times as quick", {"capacity": 6, "slow_factor": 4.0}, {"capacity": 6}, 6),
]


@pytest.mark.parametrize("overload", [SLOW, REJECT], ids=["slow", "reject"])
@pytest.mark.parametrize(("before", "after", "right"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_clinic_that_changes_is_found_out(
    before: dict[str, int], after: dict[str, int], right: int, overload: dict[str, str]
) -> None:
    """Three seeds; the change comes after 200 s, and the limits of the last third are looked at."""
    for seed in range(1, 4):
        limit = remembered(before["capacity"])
        limits = watch(
            limit,
            ClinicBehaviour(**before, **overload),  # type: ignore[arg-type]
            ClinicBehaviour(**after, **overload),  # type: ignore[arg-type]
            change_at=200.0,
            until=1_500.0,
            seed=seed,
        )
        late = limits[-len(limits) // 3 :]
        assert abs(mean(late) - right) <= max(1.5, 0.25 * right), late


@pytest.mark.parametrize("wrong", [8, 1])
@pytest.mark.parametrize("overload", ["slow", "reject"])
def test_what_was_remembered_wrongly_is_corrected(wrong: int, overload: str) -> None:
    behaviour = ClinicBehaviour(capacity=3, overload="slow" if overload == "slow" else "reject")
    limits = watch(remembered(wrong), behaviour, behaviour, change_at=1e9, until=900.0, seed=1)
    assert abs(mean(limits[-len(limits) // 3 :]) - 3) <= 1.0


def test_a_large_clinic_is_found_too() -> None:
    behaviour = ClinicBehaviour(capacity=30, overload="slow")
    limits = watch(AdaptiveLimit(CEILING), behaviour, behaviour, change_at=1e9, until=400.0, seed=1)
    assert 27 <= mean(limits[-len(limits) // 3 :]) <= 36


def test_what_the_clinic_declares_is_never_exceeded() -> None:
    limit = AdaptiveLimit(3)
    behaviour = ClinicBehaviour(capacity=8)
    assert max(watch(limit, behaviour, behaviour, change_at=1e9, until=120.0, seed=1)) == 3
    limit.declare(2)
    assert limit.allowed(200.0) <= 2


def test_known_heights_are_climbed_one_by_one_after_a_restart_a_silence_and_a_breakdown() -> None:
    limit = remembered(8)
    for moment in (0.0, IDLE_SECONDS + 100.0):
        assert limit.allowed(moment) == 8
        limit.on_start(moment, 1)
        limit.on_start(moment, 2)
        assert limit.allowed(moment) == 1, "the second has to get well away before a third"
        later = limit.wake_at(moment)
        assert later is not None
        assert limit.allowed(later) == 8
        limit.on_success(moment + 1.7, 8, 1.7)
    assert limit.allowed(IDLE_SECONDS + 102.0) == 8
    limit.on_recovery(IDLE_SECONDS + 103.0)
    limit.on_start(IDLE_SECONDS + 103.0, 2)
    assert limit.allowed(IDLE_SECONDS + 103.0) == 1


def test_one_refusal_of_what_had_gone_well_is_no_news_and_a_second_is() -> None:
    limit = remembered(8)
    limit.on_overload(0.0, 5, None)
    assert limit.memory is not None
    assert limit.memory.limit == 8
    limit.on_overload(1.0, 5, None)
    assert limit.memory is not None
    assert limit.memory.limit == 4


def test_a_clinic_that_turns_away_a_single_call_is_not_crowded_by_us() -> None:
    limit = remembered(8)
    for moment in range(10):
        limit.on_overload(float(moment), 1, 2.0)
    assert limit.memory is not None
    assert limit.memory.limit == 8


def test_an_outage_is_not_taken_for_too_many_calls() -> None:
    limit = AdaptiveLimit(CEILING)
    limit.on_start(0.0, 1)
    limit.on_success(1.7, 1, 1.7)
    assert limit.allowed(1.7) == 2
    limit.on_failure(12.0, 2)
    assert limit.allowed(12.0) == 1
    limit.on_recovery(100.0)
    limit.on_start(100.0, 1)
    limit.on_success(101.7, 1, 1.7)
    assert limit.allowed(102.0) == 2


def test_it_remembers_nothing_before_it_has_seen_anything() -> None:
    assert AdaptiveLimit(CEILING).memory is None


def test_an_outage_that_begins_with_refusals_teaches_nothing() -> None:
    """It answers 503 and nothing else says that it is away: what was found before stands when it is back."""
    limit = AdaptiveLimit(CEILING)
    now = 0.0
    while limit.allowed(now) < 4:
        now += USUAL_SECONDS
        for in_flight in range(1, limit.allowed(now) + 1):
            limit.on_start(now, in_flight)
            limit.on_success(now + USUAL_SECONDS, in_flight, USUAL_SECONDS)
    for in_flight in (4, 3, 2, 2, 1):
        now += 1.0
        limit.on_overload(now, in_flight, None)
    assert limit.allowed(now) == 1
    limit.on_success(now, 2, 60.0)  # it had begun before
    limit.on_recovery(now + 60.0)
    now += 60.0
    for _ in range(3):
        now += USUAL_SECONDS
        for in_flight in range(1, limit.allowed(now) + 1):
            limit.on_start(now, in_flight)
            limit.on_success(now + USUAL_SECONDS, in_flight, USUAL_SECONDS)
    assert limit.allowed(now + USUAL_SECONDS) >= 2
    limit.on_overload(now + 2.0, 2, None)
    limit.on_success(now + 9.0, 1, USUAL_SECONDS)
    limit.on_recovery(now + 9.0)
    assert limit.allowed(now + 9.0) == 1, "a refusal that later calls have belied was no outage"


class AnyEvents(RuleBasedStateMachine):
    """Whatever a clinic answers, the limit stays between one and what was declared."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.ceiling = 0.0, 16
        self.limit = AdaptiveLimit(self.ceiling)
        self.calls: list[int] = []

    @precondition(lambda self: len(self.calls) < self.limit.allowed(self.now))
    @rule()
    def start(self) -> None:
        self.limit.on_start(self.now, len(self.calls) + 1)
        self.calls.append(len(self.calls) + 1)

    @precondition(lambda self: self.calls)
    @rule(seconds=st.floats(0, 100) | st.none(), data=st.data())
    def succeed(self, seconds: float | None, data: st.DataObject) -> None:
        self.limit.on_success(self.now, self._end(data), seconds)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def overload(self, data: st.DataObject) -> None:
        self.limit.on_overload(self.now, self._end(data), None)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self.limit.on_failure(self.now, self._end(data))

    def _end(self, data: st.DataObject) -> int:
        return self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))

    @rule(ceiling=st.integers(1, 40))
    def declare(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit.declare(ceiling)

    @rule()
    def recover(self) -> None:
        self.limit.on_recovery(self.now)

    @rule(seconds=st.sampled_from([0.01, 1.0, 1_000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def within_bounds(self) -> None:
        assert 1 <= self.limit.allowed(self.now) <= self.ceiling
        memory = self.limit.memory
        assert memory is None or 1 <= memory.limit <= self.ceiling
        wake_at = self.limit.wake_at(self.now)
        if wake_at is not None:
            assert wake_at > self.now
            assert self.limit.allowed(wake_at) > self.limit.allowed(self.now)


TestAnyEvents = AnyEvents.TestCase


@given(st.integers(-5, 5), st.integers(-5, 100))
def test_nonsense_that_was_remembered_or_declared_does_no_harm(ceiling: int, known: int) -> None:
    limit = AdaptiveLimit(ceiling, Remembered(known, 0.0))
    assert 1 <= limit.allowed(0.0) <= max(ceiling, 1)
