"""When something that may be done without is left alone."""

from __future__ import annotations

from waiting_room.domain.breaker import Breaker


def test_nobody_asks_before_a_probe_was_answered() -> None:
    breaker = Breaker(2)
    assert breaker.open
    breaker.worked()
    assert breaker.open
    breaker.probed()
    assert not breaker.open


def test_it_opens_on_faults_in_a_row_and_says_so_once() -> None:
    breaker = Breaker(2)
    breaker.probed()
    assert not breaker.failed()
    breaker.worked()
    assert not breaker.failed()
    assert breaker.failed()
    assert breaker.open
    assert not breaker.failed()


def test_only_a_probe_closes_it_and_then_the_count_starts_anew() -> None:
    breaker = Breaker(2)
    breaker.probed()
    breaker.failed()
    breaker.failed()
    breaker.worked()  # an answer that was on its way
    assert breaker.open
    breaker.probed()
    assert not breaker.failed()
    assert not breaker.open
