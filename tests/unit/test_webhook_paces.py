"""Each endpoint has a pace of its own: it rises while all goes well, and a failing endpoint takes up one place."""

from __future__ import annotations

from workers.pacing.breaker import FAILURES_TO_OPEN, FIRST_OPEN_SECONDS
from workers.pacing.work import Verdict
from workers.webhooks.paces import FORGET_AFTER_SECONDS, OF_OTHERS, Paces, Turn


def room(paces: Paces, now: float, endpoint_id: str = "ep") -> int:
    return paces.left(now).get(endpoint_id, OF_OTHERS)


def one(paces: Paces, now: float, verdict: Verdict, pause_seconds: float = 0.0, seconds: float = 0.1) -> None:
    paces.ended("ep", paces.took("ep", now), verdict, now + seconds, seconds=seconds, pause_seconds=pause_seconds)


def well(paces: Paces, now: float, rounds: int, most: int) -> float:
    """Rounds of as many as there is room for; when they are over."""
    for _ in range(rounds):
        turns: list[Turn] = []
        while room(paces, now) > 0 and len(turns) < most:
            turns.append(paces.took("ep", now))
            now += 0.01
        now += 0.1
        for turn in turns:
            paces.ended("ep", turn, Verdict.ANSWERED, now, seconds=0.1)
    return now


def test_an_endpoint_nobody_knows_gets_one_and_then_ever_more_up_to_the_most() -> None:
    paces = Paces(ceiling=8)
    assert room(paces, 0.0) == 1
    paces.took("ep", 0.0)
    assert room(paces, 0.0) == 0
    paces.ended("ep", paces.took("ep", 0.0), Verdict.ANSWERED, 0.1, seconds=0.1)
    now = well(paces, 0.2, rounds=40, most=8)
    now += 1.0
    assert 1 < room(paces, now) <= 8


def test_one_that_fails_again_and_again_is_left_alone_but_for_a_probe() -> None:
    paces = Paces(ceiling=8)
    for number in range(FAILURES_TO_OPEN):
        assert room(paces, number * 1.0) == 1
        one(paces, number * 1.0, Verdict.FAILED)
    now = FAILURES_TO_OPEN * 1.0
    assert (room(paces, now - 0.5), paces.down()) == (0, 1)
    now += FIRST_OPEN_SECONDS
    assert room(paces, now) == 1
    probe = paces.took("ep", now)
    assert probe.probe
    assert room(paces, now + 100) == 0
    paces.ended("ep", probe, Verdict.FAILED, now + 100, seconds=100)
    assert room(paces, now + 101) == 0
    assert room(paces, now + 100 + 2 * FIRST_OPEN_SECONDS) == 1
    one(paces, now + 110, Verdict.ANSWERED)
    assert paces.down() == 0


def test_what_was_not_sent_says_nothing() -> None:
    paces = Paces(ceiling=8)
    for number in range(2 * FAILURES_TO_OPEN):
        one(paces, number * 1.0, Verdict.NOT_ASKED)
    assert paces.down() == 0


def test_one_that_asks_for_a_pause_gets_it() -> None:
    paces = Paces(ceiling=8)
    one(paces, 0.0, Verdict.OVERLOADED, pause_seconds=30.0)
    assert room(paces, 29.0) == 0
    assert room(paces, 31.0) == 1


def test_endpoints_do_not_share_a_pace_and_idle_ones_are_forgotten() -> None:
    paces = Paces(ceiling=8)
    paces.took("hangs", 0.0)
    assert room(paces, 0.0, "works") == 1
    for number in range(FAILURES_TO_OPEN):
        one(paces, number * 1.0, Verdict.FAILED)
    one(paces, 100.0, Verdict.ANSWERED)
    assert paces.left(101.0 + FORGET_AFTER_SECONDS) == {"hangs": 0}
