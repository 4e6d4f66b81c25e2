"""Who is let in: nothing while Kafka fails, nothing beyond what can be worked off in time or given at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingress import admission, problems
from ingress.line import Held
from waiting_room.domain.eta import Pace

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
PACE = Pace(4, 2.0, 0.5)
CEILING = 60
FIFTY_A_SECOND = Held("hold", NOW, 0, 50.0)


def line(**changes: Any) -> admission.TooLong | None:
    values: dict[str, Any] = {
        "place": 1,
        "promised": 0,
        "is_due": False,
        "pace": PACE,
        "wait_ceiling_seconds": CEILING,
    }
    return admission.line(**{**values, **changes})


def backlog(unheld: int, held: Held | None = FIFTY_A_SECOND) -> admission.Refusal | None:
    return admission.backlog(unheld=unheld, unheld_max=100, held=held)


def test_nothing_is_handed_over_while_kafka_fails() -> None:
    assert admission.producing(takes=True) is None
    refusal = admission.producing(takes=False)
    assert refusal is not None
    assert refusal.kind is problems.NOT_ACCEPTING
    assert refusal.retry_after_seconds >= 1


def test_nothing_is_handed_over_by_a_map_that_may_be_old() -> None:
    refusal = admission.producing(takes=True, knows_the_map=False)
    assert refusal is not None
    assert refusal.kind is problems.NOT_READY
    away = admission.producing(takes=False, knows_the_map=False)
    assert away is not None
    assert away.kind is problems.NOT_ACCEPTING, "which is what there is to wait for"


def test_a_short_line_is_let_in() -> None:
    assert line() is None
    assert line(place=100) is None  # (100 - 4) * 2 / 4 + 2 = 50 s


def test_a_line_past_the_clinics_ceiling_is_refused_until_it_has_shrunk() -> None:
    too_long = line(place=200)  # (200 - 4) * 2 / 4 + 2 = 100 s; newcomers get up to 54
    assert too_long is not None
    assert too_long.room_in_seconds == 46
    assert too_long.per_second == 2 * admission.CAUTION


def test_who_was_told_to_come_back_stands_in_line_already() -> None:
    assert line(place=100, promised=20) is not None
    assert line(place=100, promised=20, is_due=True) is None
    assert line(place=116, promised=20, is_due=True) is None  # 58 s: room that newcomers leave
    assert line(place=121, is_due=True) is not None


def test_a_clinic_that_is_slow_to_answer_keeps_its_ceiling() -> None:
    assert line(place=100, pace=Pace(4, 20.0, 5.0)) is not None


def test_a_clinic_nobody_has_seen_work_is_bounded_too() -> None:
    assert line(place=54, pace=None) is None
    assert line(place=55, pace=None) is not None


def test_a_clinic_with_nothing_left_is_not_queued_for() -> None:
    assert admission.bookable(free=None, ahead=10) is None
    assert admission.bookable(free=11, ahead=10) is None
    refusal = admission.bookable(free=10, ahead=10)
    assert refusal is not None
    assert refusal.kind is problems.NOTHING_FREE


def test_a_backlog_is_refused_until_it_can_be_worked_off() -> None:
    assert backlog(99) is None
    refusal = backlog(299)
    assert refusal is not None
    assert refusal.kind is problems.BACKLOG
    assert refusal.retry_after_seconds == 4  # 200 too many at 50 a second


def test_without_a_known_rate_a_backlog_asks_for_patience() -> None:
    for held in (None, Held("hold", NOW, 0, None), Held("hold", NOW, 0, 0.0)):
        refusal = backlog(200, held)
        assert refusal is not None
        assert refusal.retry_after_seconds == admission.BACKLOG_RETRY_SECONDS


@given(
    place=st.integers(1, 10**7),
    promised=st.integers(0, 10**5),
    call=st.floats(0.001, 120),
    limit=st.floats(1, 100),
    is_due=st.booleans(),
)
def test_the_line_stays_under_its_ceiling(place: int, promised: int, call: float, limit: float, is_due: bool) -> None:
    pace = Pace(limit, call, call)
    too_long = line(place=place, promised=promised, pace=pace, is_due=is_due)
    if too_long is None:
        assert pace.wait(place)[0] <= CEILING
    else:
        assert too_long.room_in_seconds >= 0
        assert too_long.per_second > 0


@given(unheld=st.integers(0, 10**7), rate=st.none() | st.floats(0, 10_000))
def test_whoever_is_refused_for_a_backlog_is_told_when_to_come_back(unheld: int, rate: float | None) -> None:
    refusal = backlog(unheld, Held("hold", NOW, 0, rate))
    if refusal is None:
        assert unheld < 100
    else:
        assert 1 <= refusal.retry_after_seconds <= admission.RETRY_SECONDS_MAX
