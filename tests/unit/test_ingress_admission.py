"""Who is let in: nothing while Kafka fails, nothing beyond what can be worked off in time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingress import admission, problems
from ingress.line import Held, Pace

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
PACE = Pace(NOW, limit=4, call_seconds=2.0, call_sigma_seconds=0.5, breaker_open=False)


def book(**changes: Any) -> admission.Refusal | None:
    values: dict[str, Any] = {
        "unheld": 0,
        "unheld_max": 100,
        "held": Held("hold", NOW, 0, 50.0),
        "place": 1,
        "pace": PACE,
        "wait_ceiling_seconds": 60,
    }
    return admission.book(**{**values, **changes})


def test_nothing_is_handed_over_while_kafka_fails() -> None:
    assert admission.producing(takes=True) is None
    refusal = admission.producing(takes=False)
    assert refusal is not None
    assert refusal.kind is problems.NOT_ACCEPTING
    assert refusal.retry_after_seconds >= 1


def test_a_short_line_is_let_in() -> None:
    assert book() is None
    assert book(place=100) is None  # (100 - 4) * 2 / 4 + 2 = 50 s


def test_a_line_past_the_clinics_ceiling_is_refused_until_it_has_shrunk() -> None:
    refusal = book(place=200)  # (200 - 4) * 2 / 4 + 2 = 100 s, 40 s over
    assert refusal is not None
    assert refusal.kind is problems.LINE_TOO_LONG
    assert refusal.retry_after_seconds == 40


def test_a_clinic_that_is_down_keeps_its_ceiling() -> None:
    down = Pace(NOW, 4, 2.0, 0.5, breaker_open=True)
    assert book(place=200, pace=down) is not None


def test_a_clinic_nobody_has_seen_work_is_bounded_too() -> None:
    assert book(place=60, pace=None) is None
    assert book(place=61, pace=None) is not None


def test_a_backlog_is_refused_until_it_can_be_worked_off() -> None:
    assert book(unheld=99) is None
    refusal = book(unheld=299)
    assert refusal is not None
    assert refusal.kind is problems.BACKLOG
    assert refusal.retry_after_seconds == 4  # 200 too many at 50 a second


def test_without_a_known_rate_a_backlog_asks_for_patience() -> None:
    for held in (None, Held("hold", NOW, 0, None), Held("hold", NOW, 0, 0.0)):
        refusal = book(unheld=200, held=held)
        assert refusal is not None
        assert refusal.retry_after_seconds == admission.BACKLOG_RETRY_SECONDS


@given(
    unheld=st.integers(0, 10**7),
    place=st.integers(1, 10**7),
    rate=st.none() | st.floats(0, 10_000),
    call=st.floats(0.001, 120),
    limit=st.integers(1, 100),
)
def test_whoever_is_refused_is_told_when_to_come_back(
    unheld: int, place: int, rate: float | None, call: float, limit: int
) -> None:
    pace = Pace(NOW, limit, call, call, breaker_open=False)
    refusal = book(unheld=unheld, place=place, held=Held("hold", NOW, 0, rate), pace=pace)
    if refusal is None:
        assert unheld < 100
        assert pace.wait(place)[0] <= 60
    else:
        assert 1 <= refusal.retry_after_seconds <= admission.RETRY_SECONDS_MAX
