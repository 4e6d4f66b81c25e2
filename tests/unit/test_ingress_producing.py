"""Whether Kafka acknowledges: when nothing is handed over any more, and when it is again."""

from __future__ import annotations

import pytest

from ingress.producing import IDLE_SECONDS, LATE_SECONDS, Producing

P, Q = 1, 2


@pytest.fixture
def producing() -> Producing:
    """Working since second 0."""
    made = Producing(0.0)
    made.acknowledged(made.probed(0, 0.0), 0.0)
    return made


def test_it_starts_out_failing_until_a_probe_is_acknowledged() -> None:
    producing = Producing(0.0)
    assert producing.failing
    assert producing.to_probe(0.0) == [0]
    probe = producing.probed(0, 0.0)
    assert producing.to_probe(0.1) == []
    producing.acknowledged(probe, 0.2)
    assert producing.takes(P)
    assert not producing.failing


def test_a_late_acknowledgement_alone_makes_only_its_partition_suspect(producing: Producing) -> None:
    late = producing.sent(P, 0.0)
    producing.acknowledged(producing.sent(Q, 0.9), 1.0)
    producing.look(LATE_SECONDS + 0.1, started=True)
    assert not producing.takes(P)
    assert producing.takes(Q)
    assert producing.to_probe(1.2) == [P]
    probe = producing.probed(P, 1.2)
    producing.acknowledged(late, 1.3)
    assert not producing.takes(P), "the record was sent before it became suspect"
    producing.acknowledged(probe, 1.3)
    assert producing.takes(P)


def test_without_any_acknowledgement_everything_is_refused(producing: Producing) -> None:
    sent = producing.sent(P, 0.5)
    producing.look(1.4, started=True)
    assert producing.takes(Q)
    producing.look(1.6, started=True)
    assert not producing.takes(Q)
    assert producing.failing
    probe = producing.probed(P, 1.7)
    producing.acknowledged(sent, 5.0)
    producing.acknowledged(probe, 5.0)
    producing.look(5.1, started=True)
    assert producing.takes(P)
    assert producing.takes(Q)
    assert producing.unacknowledged == 0


def test_a_failure_is_the_end_of_the_producer_until_its_successor_is_proven(producing: Producing) -> None:
    producing.failed(producing.sent(P, 0.5))
    assert producing.failing
    producing.look(0.6, started=False)
    assert producing.to_probe(0.6) == [P]
    producing.failed(producing.probed(P, 0.7))
    assert producing.to_probe(0.8) == [P]
    producing.acknowledged(producing.probed(P, 0.9), 1.0)
    assert producing.takes(P)


def test_a_producer_that_is_away_takes_nothing(producing: Producing) -> None:
    producing.look(0.1, started=False)
    assert not producing.takes(P)
    assert producing.to_probe(0.1) == [0]


def test_idleness_is_used_to_find_out(producing: Producing) -> None:
    assert producing.to_probe(IDLE_SECONDS) == []
    assert producing.to_probe(IDLE_SECONDS + 0.1) == [0]
    producing.probed(0, 5.1)
    assert producing.takes(P)
    producing.look(5.1 + LATE_SECONDS + 0.1, started=True)
    assert producing.failing
