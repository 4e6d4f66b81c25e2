"""Breaker, offsets, disposition and turns, each by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.clinic_call import CallKind
from waiting_room.domain.failures import Failure
from workers.pacing.breaker import Breaker
from workers.pacing.disposition import Action, Budget, Disposition, dispose
from workers.pacing.lane import Lane
from workers.pacing.limit import FixedLimit
from workers.pacing.offsets import Offsets
from workers.pacing.turns import Turns

P = ("clinic.confirmations", 0)


class TestBreaker:
    def down(self, *, at: float = 0.0, times: int = 5) -> Breaker:
        breaker = Breaker()
        for _ in range(times):
            assert breaker.allows(at)
            breaker.failed(at, probe=breaker.started())
        return breaker

    def test_consecutive_failures_open_it(self) -> None:
        breaker = self.down(times=4)
        breaker.succeeded()
        for _ in range(4):
            breaker.failed(0.0, probe=False)
        assert breaker.allows(0.0)
        breaker.failed(0.0, probe=False)
        assert breaker.open
        assert not breaker.allows(0.9)
        assert breaker.probe_at == 1.0

    def test_one_real_booking_probes_at_a_time(self) -> None:
        breaker = self.down()
        assert breaker.allows(1.0)
        assert breaker.started()
        assert not breaker.allows(100.0)
        assert breaker.probe_at is None
        breaker.succeeded()
        assert breaker.allows(1.0)
        assert not breaker.open

    def test_probes_come_ever_more_rarely_up_to_a_bound_and_start_over_after_success(self) -> None:
        breaker = self.down()
        now, pauses = 0.0, []
        for _ in range(8):
            assert breaker.probe_at is not None
            pauses.append(breaker.probe_at - now)
            now = breaker.probe_at
            breaker.failed(now, probe=breaker.started())
        assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
        breaker.succeeded()
        for _ in range(5):
            breaker.failed(now, probe=False)
        assert breaker.probe_at == now + 1

    def test_what_had_started_before_tells_nothing_new_but_success(self) -> None:
        breaker = self.down()
        breaker.failed(0.5, probe=False)
        assert breaker.probe_at == 1.0
        probe = breaker.started()
        breaker.failed(1.5, probe=False)
        assert not breaker.allows(99.0), "the probe is still under way"
        breaker.failed(2.0, probe=probe)
        assert breaker.probe_at == 4.0
        breaker.succeeded()
        assert not breaker.open

    def test_a_probe_that_was_not_made_makes_room_for_another(self) -> None:
        breaker = self.down()
        breaker.said_nothing(probe=breaker.started())
        assert breaker.allows(1.0)


class TestOffsets:
    def test_the_lowest_unfinished_and_what_was_committed(self) -> None:
        offsets = Offsets()
        offsets.assigned([P])
        for offset in (7, 8, 10):
            assert offsets.started(P, offset)
        assert offsets.committable() == {}, "nothing has finished"
        offsets.finished(P, 8)
        assert offsets.committable() == {}
        offsets.finished(P, 7)
        assert offsets.committable() == {P: 10}
        offsets.committed({P: 10})
        assert offsets.committable() == {}
        offsets.finished(P, 10)
        assert offsets.committable() == {P: 11}
        assert offsets.gap(P) == 0

    def test_what_was_read_before_or_is_not_ours_does_not_count(self) -> None:
        offsets = Offsets()
        assert not offsets.started(P, 1)
        offsets.assigned([P])
        assert offsets.started(P, 5)
        assert not offsets.started(P, 5)
        offsets.revoked([P])
        offsets.finished(P, 5)
        assert offsets.committable() == {}
        offsets.assigned([P])
        offsets.finished(P, 5)
        assert offsets.started(P, 5)
        assert offsets.gap(P) == 1

    def test_what_would_be_next_once_more_is_finished(self) -> None:
        offsets = Offsets()
        assert offsets.next_once(P, {5}) is None, "not ours"
        offsets.assigned([P])
        assert offsets.next_once(P, {5}) is None, "nothing was read: whatever is finished, it says nothing"
        for offset in (5, 6, 8):
            offsets.started(P, offset)
        assert offsets.next_once(P) == 5
        assert offsets.next_once(P, {6, 8}) == 5
        assert offsets.next_once(P, {5}) == 6
        offsets.finished(P, 6)
        assert offsets.next_once(P, {5}) == 8
        assert offsets.next_once(P, {5, 8}) == 9
        assert offsets.next_once(P) == 5, "asking changes nothing"

    @given(st.permutations(range(20)))
    def test_in_any_order_it_never_passes_an_unfinished_one(self, order: list[int]) -> None:
        offsets = Offsets()
        offsets.assigned([P])
        for offset in range(20):
            offsets.started(P, offset)
        finished: set[int] = set()
        for offset in order:
            offsets.finished(P, offset)
            finished.add(offset)
            lowest = next(each for each in range(21) if each not in finished)
            assert offsets.committable().get(P, 0) == lowest
            assert offsets.gap(P) == 20 - lowest


CONFIRM, MOVE, LOOKUP, WITHDRAW = CallKind
TABLE = [
    (Failure.NOT_SENT, Action.RETRY, Action.RETRY, Action.ASIDE),
    (Failure.UNAVAILABLE, Action.RETRY, Action.PARK, Action.ASIDE),
    (Failure.OVERLOADED, Action.RETRY, Action.PARK, Action.ASIDE),
    (Failure.OUTCOME_UNKNOWN, Action.ASIDE, Action.PARK, Action.ASIDE),
    (Failure.REFUSED, Action.REJECT, Action.REJECT, Action.PARK),
    (Failure.CANNOT_LOOK_UP, Action.PARK, Action.PARK, Action.PARK),
    (Failure.UNPROCESSABLE, Action.DEAD_LETTER, Action.DEAD_LETTER, Action.DEAD_LETTER),
    (Failure.FAULT, Action.ASIDE, Action.ASIDE, Action.ASIDE),
]


def disposed(failure: Failure, kind: CallKind = CONFIRM, **changes: float) -> Disposition:
    values = {"tries": 1, "faults": 1, "attempt": 1, "jitter": 0.0, **changes}
    return dispose(
        failure,
        kind,
        tries=int(values["tries"]),
        faults=int(values["faults"]),
        attempt=int(values["attempt"]),
        jitter=values["jitter"],
        retry_after_seconds=values.get("retry_after_seconds"),
    )


class TestDisposition:
    def test_the_table_knows_every_failure(self) -> None:
        assert [row[0] for row in TABLE] == list(Failure)

    @pytest.mark.parametrize(("failure", "at_first", "when_spent", "beside"), TABLE)
    def test_the_table(self, failure: Failure, at_first: Action, when_spent: Action, beside: Action) -> None:
        for kind in (CONFIRM, MOVE):
            assert disposed(failure, kind).action is at_first
            assert disposed(failure, kind, tries=5).action is when_spent
        for kind in (LOOKUP, WITHDRAW):
            assert disposed(failure, kind).action is beside

    def test_faults_of_ours_have_their_own_budget(self) -> None:
        assert disposed(Failure.FAULT, faults=5).action is Action.DEAD_LETTER
        assert disposed(Failure.FAULT, tries=99).action is Action.ASIDE

    def test_pauses_double_up_to_a_bound(self) -> None:
        budget = Budget(tries=9)
        pauses = [
            dispose(Failure.UNAVAILABLE, CONFIRM, tries=n, faults=0, attempt=n, jitter=0.0, budget=budget).after_seconds
            for n in range(1, 8)
        ]
        assert pauses == [0.5, 1, 2, 4, 8, 8, 8]

    def test_parking_backs_off_by_how_often_the_booking_was_called(self) -> None:
        pauses = [disposed(Failure.UNAVAILABLE, tries=5, attempt=n).after_seconds for n in (1, 5, 10, 15, 500)]
        assert pauses == [15, 30, 60, 120, 300]

    @given(st.floats(0, 1, exclude_max=True), st.sampled_from(list(Failure)), st.integers(0, 9))
    def test_jitter_shortens_by_up_to_a_half(self, jitter: float, failure: Failure, tries: int) -> None:
        whole, some = disposed(failure, tries=tries), disposed(failure, tries=tries, jitter=jitter)
        assert whole.action is some.action
        assert whole.after_seconds / 2 <= some.after_seconds <= whole.after_seconds

    def test_what_the_clinic_says_is_never_shortened_but_bounded_in_the_lane(self) -> None:
        assert disposed(Failure.OVERLOADED, jitter=0.9, retry_after_seconds=7.0).after_seconds == 7.0
        assert disposed(Failure.OVERLOADED, retry_after_seconds=0.1).after_seconds == 0.5
        assert disposed(Failure.OVERLOADED, retry_after_seconds=86_400).after_seconds == 300
        assert disposed(Failure.OVERLOADED, tries=5, retry_after_seconds=900.0).after_seconds == 900


class TestTurns:
    def lane(self, name: str, in_flight: int) -> Lane:
        lane = Lane(name, FixedLimit(9), Breaker())
        lane.in_flight = in_flight
        return lane

    def test_the_fewest_in_flight_first_then_the_longest_waiting(self) -> None:
        turns = Turns()
        a, b, c = self.lane("a", 1), self.lane("b", 0), self.lane("c", 0)
        for lane in (a, b, c):
            turns.add(lane)
        assert [turns.pop(), turns.pop(), turns.pop(), turns.pop()] == [b, c, a, None]

    def test_a_lane_is_filed_anew_when_its_calls_change(self) -> None:
        turns = Turns()
        a, b = self.lane("a", 0), self.lane("b", 1)
        turns.add(a)
        turns.add(b)
        a.in_flight = 2
        turns.add(a)
        turns.discard(b)
        turns.discard(b)
        assert [turns.pop(), turns.pop()] == [a, None]


def test_a_limit_is_at_least_one() -> None:
    limit = FixedLimit(0)
    assert limit.allowed(0.0) == 1
    limit.declare(3)
    assert limit.allowed(0.0) == 3
