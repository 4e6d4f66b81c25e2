"""Who is told to come back is told a time of its own, and finds room then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingress.promises import LONGEST_SECONDS, PROMISED_MAX, TAKEN_UP_WITHIN_SECONDS, Promises

CLINIC = "0001"


def give(promises: Promises, ref: str, now: float, room_in: float = 10.0, per_second: float = 2.0) -> int:
    return promises.give(CLINIC, ref, now, room_in_seconds=room_in, per_second=per_second)


def test_everybody_gets_a_time_of_their_own_at_the_clinics_pace() -> None:
    promises = Promises()
    told = [give(promises, f"ref-{n}", 0.0) for n in range(6)]
    assert told == [10, 11, 11, 12, 12, 13]
    assert promises.standing(CLINIC, 0.0) == 6
    assert promises.standing("another", 0.0) == 0


def test_a_promise_is_due_at_its_time_not_before_and_for_a_while() -> None:
    promises = Promises()
    assert give(promises, "ref", 100.0) == 10
    assert not promises.is_due(CLINIC, "ref", 109.0)
    assert promises.is_due(CLINIC, "ref", 110.0)
    assert promises.is_due(CLINIC, "ref", 110.0 + TAKEN_UP_WITHIN_SECONDS)
    assert not promises.is_due(CLINIC, "ref", 111.0 + TAKEN_UP_WITHIN_SECONDS)
    assert not promises.is_due(CLINIC, "another", 110.0)


def test_who_comes_too_early_is_told_the_same_moment_again() -> None:
    promises = Promises()
    give(promises, "ref", 0.0)
    give(promises, "another", 0.0)
    assert give(promises, "ref", 4.0, room_in=100.0) == 6
    assert promises.standing(CLINIC, 4.0) == 2


def test_what_is_kept_or_lapses_makes_room() -> None:
    promises = Promises()
    give(promises, "one", 0.0)
    give(promises, "two", 0.0)
    promises.kept(CLINIC, "one")
    assert promises.standing(CLINIC, 1.0) == 1
    assert promises.standing(CLINIC, 12.0 + TAKEN_UP_WITHIN_SECONDS) == 0
    promises.kept("nobody's", "ref")


def test_beyond_the_longest_wait_or_too_many_nobody_is_promised_anything() -> None:
    promises = Promises()
    assert give(promises, "far", 0.0, room_in=LONGEST_SECONDS * 2) == LONGEST_SECONDS
    assert promises.standing(CLINIC, 0.0) == 0
    for number in range(PROMISED_MAX + 10):
        give(promises, str(number), 0.0, per_second=1e6)
    assert promises.standing(CLINIC, 0.0) == PROMISED_MAX


@given(
    callers=st.lists(st.tuples(st.floats(0, 60), st.floats(0, 100)), min_size=1, max_size=60),
    per_second=st.floats(0.05, 50),
)
def test_no_more_come_back_in_any_time_than_the_clinic_decides(
    callers: list[tuple[float, float]], per_second: float
) -> None:
    promises, due = Promises(), []
    for number, (after, room_in) in enumerate(sorted(callers)):
        due.append(after + give(promises, str(number), after, room_in, per_second))
    due.sort()
    for first in range(len(due)):
        for last in range(first + 1, len(due)):
            # a promise is rounded up to whole seconds
            assert last - first <= (due[last] - due[first] + 1.0) * per_second + 1
