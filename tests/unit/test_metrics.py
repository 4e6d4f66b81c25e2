"""What is measured: few series however many clinics, lag by the records' own times, decisions by the promise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest
from structlog.testing import capture_logs

from tests.unit.test_confirm_report import HERE
from waiting_room.domain.appointment import By, Reason, State, Status
from waiting_room.domain.booking_ref import clinic_id_of_number
from waiting_room.messages import ClinicPulse
from waiting_room.store.booking import Booking
from waiting_room.store.lines import WaitingLine
from waiting_room.telemetry import decided, metrics
from waiting_room.telemetry.lag import ConsumerLag
from waiting_room.telemetry.shown import CLINICS_SHOWN, Shown, quantiles
from workers.confirm.report import Report
from workers.confirm.showing import SHOW_EVERY_SECONDS, Showing
from workers.pacing.lanes import Lanes
from workers.pacing.limit import FixedLimit
from workers.pacing.work import Rank, Ring
from workers.pulse import PulseWriter
from workers.sweep.lines import LineWatch

CLINICS = [clinic_id_of_number(number) for number in range(500_001, 510_001)]
PER_CLINIC = ("waiting_room_clinic_line", "waiting_room_clinic_oldest_wait_seconds")


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def clinics_in(name: str) -> set[str]:
    return {
        sample.labels["clinic"]
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == name and "clinic" in sample.labels
    }


def test_ten_thousand_clinics_cost_no_more_series_than_a_few() -> None:
    """Every line a lane of one worker, 5% of them down: a worker's and a sweep's scrape stay small."""
    before = {each for name in PER_CLINIC for each in clinics_in(name)}  # other tests' workers tell of theirs
    no_producer: Any = None
    report = Report(PulseWriter("worker", no_producer), calls_max=500, wait_target_seconds=60.0)
    lanes = Lanes(calls_max=500, lane_max=64, gap_max=20_000, make_limit=lambda _: FixedLimit(3))
    lanes.assigned([HERE])
    for offset, clinic_id in enumerate(CLINICS):
        lanes.offer(Ring(clinic_id, f"{clinic_id}-1", Rank.NORMAL, HERE, offset), 0.0)
    report.saw_lines({clinic_id: (1, number) for number, clinic_id in enumerate(CLINICS)})
    report.look(lanes, 1e9, paused=0, settled=True)
    LineWatch(no_producer).say(
        [WaitingLine(each, number, number / 10, number % 20 == 0) for number, each in enumerate(CLINICS, 1)]
    )
    shown = clinics_in("waiting_room_clinic_line") - before
    assert len(shown) == CLINICS_SHOWN
    assert shown <= set(CLINICS[-2 * CLINICS_SHOWN :]), "the longest lines"
    assert len(clinics_in("waiting_room_clinic_oldest_wait_seconds") - before) == CLINICS_SHOWN
    assert value("waiting_room_undecided", state="down") == sum(range(20, 10_001, 20))
    assert value("waiting_room_line_bookings", quantile="0.99") == 9_901
    assert value("waiting_room_oldest_wait_seconds", state="up") == 999.9
    page = generate_latest()
    assert len(page) < 400_000, "a whole deployment is to stay under 2 MB"


def test_clinics_that_are_down_are_shown_before_longer_lines_but_not_instead_of_all() -> None:
    weights = {clinic_id: float(number) for number, clinic_id in enumerate(CLINICS, 1)}
    down = set(CLINICS[:500])
    chosen = Shown(room=50).choose(weights, down)
    assert len(chosen & down) == 25
    assert chosen - down == set(CLINICS[-25:])
    assert Shown(room=50).choose({"A": 1.0, "B": 0.0}, {"C"}) == {"A", "C"}


def test_a_shown_clinic_stays_until_another_is_heavier_by_far() -> None:
    shown = Shown(room=1)
    assert shown.choose({"A": 100, "B": 90}) == {"A"}
    assert shown.choose({"A": 100, "B": 120}) == {"A"}
    assert shown.choose({"A": 100, "B": 126}) == {"B"}


def test_a_clinic_that_recovers_is_no_longer_shown_as_down() -> None:
    showing = Showing()
    showing.look({"0A0A": ClinicPulse(seq=1, line=3, limit=1, breaker_open=True)}, 0.0)
    assert value("waiting_room_clinic_breaker_open", clinic="0A0A") == 1
    showing.look({"0A0A": ClinicPulse(seq=2, line=3, limit=1)}, SHOW_EVERY_SECONDS / 2)
    assert value("waiting_room_clinic_breaker_open", clinic="0A0A") == 1, "not looked at so soon"
    showing.look({"0A0A": ClinicPulse(seq=2, line=3, limit=1)}, SHOW_EVERY_SECONDS)
    assert value("waiting_room_clinic_breaker_open", clinic="0A0A") == 0
    showing.look({"0A0A": ClinicPulse(seq=3, line=0, limit=1)}, 2 * SHOW_EVERY_SECONDS)
    assert value("waiting_room_clinic_breaker_open", clinic="0A0A") is None


def records(*offsets_and_times: tuple[int, float]) -> Any:
    return [SimpleNamespace(offset=offset, timestamp=int(at * 1_000)) for offset, at in offsets_and_times]


def lag(partition: int) -> float | None:
    return value("waiting_room_consumer_lag_seconds", group="lag test", topic="t", partition=str(partition))


def test_lag_is_the_age_of_the_oldest_record_not_committed() -> None:
    now = 1_000.0
    behind = ConsumerLag("lag test", lambda: now)
    behind.assigned({("t", 0), ("t", 1)})
    assert lag(0) == 0
    behind.read({("t", 0): records((10, 970), (11, 975)), ("t", 1): []})
    behind.read({("t", 0): records((12, 980), (13, 999))})
    assert lag(0) == 30
    behind.committed({("t", 0): 11})
    assert lag(0) == 30, "by the batch: its last record is not committed"
    behind.committed({("t", 0): 12})
    now = 1_010.0
    assert lag(0) == 30
    assert value("waiting_room_uncommitted_records", group="lag test") == 2
    behind.committed({("t", 0): 14})
    assert lag(0) == 0
    assert value("waiting_room_committed_records_total", group="lag test") == 4


def test_a_partition_that_went_to_another_is_not_told_of() -> None:
    behind = ConsumerLag("lag test", lambda: 1_000.0)
    behind.assigned({("t", 2)})
    behind.read({("t", 2): records((5, 900))})
    assert lag(2) == 100
    behind.assigned(set())
    assert lag(2) is None
    assert behind.uncommitted == 0
    behind.assigned({("t", 2)})
    assert lag(2) == 0, "what was read before is another's by now, or read again"


@pytest.mark.parametrize(
    ("waited", "p90", "within"),
    [(899, None, True), (901, None, False), (901, 100, False), (1_100, 1_200, True), (1_201, 1_200, False)],
)
def test_the_promise_is_the_eta_or_a_quarter_of_an_hour(waited: float, p90: float | None, within: bool) -> None:
    outcome = "within" if within else "later"
    before = value("waiting_room_processed_total", outcome=outcome) or 0
    assert decided.observe(decided_after(waited, eta_p90=p90)) == waited
    assert value("waiting_room_processed_total", outcome=outcome) == before + 1


def decided_after(waited: float, **more: Any) -> Booking:
    accepted_at = datetime(2026, 11, 30, 7, tzinfo=UTC)
    return Booking(
        clinic_id="0001",
        booking_ref="0001ABCDEFGHJKMNPQRS",
        app_id="app",
        accepted_at=accepted_at,
        held_at=accepted_at + timedelta(seconds=0.25),
        decided_at=accepted_at + timedelta(seconds=waited),
        state=State(Status.REJECTED, None, reason=Reason.SLOT_TAKEN, by=By.SERVICE),
        **more,
    )


def test_a_decision_has_one_line_that_holds_all_of_it_but_the_patient() -> None:
    booking = decided_after(12.3456, patient_id="tag", patient=b"sealed", ticket=7, attempts=2, eta_p90=10.0)
    with capture_logs() as lines:
        decided.observe(booking)
    [line] = lines
    assert line == {
        "event": "decided",
        "log_level": "info",
        "booking_ref": booking.booking_ref,
        "clinic_id": "0001",
        "app_id": "app",
        "status": "rejected",
        "reason": "slot_taken",
        "by": "service",
        "clinic_state": "none",
        "revision": 1,
        "ticket": 7,
        "attempts": 2,
        "held_seconds": 0.25,
        "seconds": 12.346,
        "eta_p50": None,
        "eta_p90": 10.0,
        "in_time": True,
    }
    booking.decided_at = None
    with capture_logs() as lines:
        assert decided.observe(booking) is None
    assert not lines, "what is decided later is told of then"


def test_quantiles_over_clinics() -> None:
    assert quantiles([]) == {0.5: 0, 0.9: 0, 0.99: 0, 1.0: 0}
    assert quantiles([3.0, 1.0, 2.0]) == {0.5: 2, 0.9: 3, 0.99: 3, 1.0: 3}


def test_buckets_have_a_bound_at_every_promise() -> None:
    def bounds(histogram: Any) -> list[float]:
        return list(histogram._upper_bounds)

    for histogram, promise in (
        (metrics.ACCEPT_SECONDS, 0.2),
        (metrics.SLOTS_SECONDS, 0.2),
        (metrics.REMINDER_DELAY, 60.0),
        (metrics.DECIDE_SECONDS, decided.PROMISE_SECONDS),
        (metrics.DECIDE_SECONDS, 1.0),
        (metrics.CONFIRM_WAIT, 60.0),
    ):
        assert promise in bounds(histogram)
        assert all(a < b for a, b in pairwise(bounds(histogram)))
