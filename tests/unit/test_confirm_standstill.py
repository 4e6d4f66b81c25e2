"""A process that stood still: it notices, asks for its partitions anew, and blames no clinic."""

from __future__ import annotations

from workers.confirm.standstill import MEMBER_SHARE, STILL_SECONDS, Standstill

SESSION = 10.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_one_that_looks_now_and_then_never_stood_still() -> None:
    clock = Clock()
    standstill = Standstill(SESSION, clock)
    for _ in range(100):
        assert (standstill.times, standstill.lost_touch()) == (0, None)
        clock.now += STILL_SECONDS - 0.1


def test_what_was_measured_meanwhile_can_be_told_from_what_was_not() -> None:
    clock = Clock()
    standstill = Standstill(SESSION, clock)
    before = standstill.times
    clock.now += STILL_SECONDS
    assert standstill.times == before + 1
    assert standstill.times == before + 1
    assert standstill.lost_touch() is None, "the group has heard of us recently enough"


def test_too_long_is_said_once_whoever_looks_first() -> None:
    clock = Clock()
    standstill = Standstill(SESSION, clock)
    assert standstill.lost_touch() is None
    clock.now += SESSION * MEMBER_SHARE
    assert standstill.times == 1
    clock.now += 0.1
    assert standstill.lost_touch() == SESSION * MEMBER_SHARE
    assert standstill.lost_touch() is None
