"""What a worker says that its clinics need."""

from __future__ import annotations

from typing import Any

from prometheus_client import REGISTRY

from workers.confirm.report import Report
from workers.pacing.disposition import Action, Disposition
from workers.pacing.lanes import Lanes
from workers.pacing.limit import FixedLimit
from workers.pacing.offsets import Partition
from workers.pacing.work import Rank, Ring
from workers.pulse import PulseWriter

HERE: Partition = ("clinic.confirmations", 0)


def needed() -> float | None:
    return REGISTRY.get_sample_value("waiting_room_confirm_calls_needed")


def test_a_clinic_that_went_to_another_worker_is_not_needed_for_twice() -> None:
    """Its call is still under way here; its new owner speaks for its line."""
    lanes = Lanes(calls_max=9, lane_max=100, gap_max=100, make_limit=lambda _: FixedLimit(3))
    no_producer: Any = None
    report = Report(PulseWriter("worker", no_producer), calls_max=9, wait_target_seconds=10.0)
    lanes.assigned([HERE])
    for offset in range(10):
        lanes.offer(Ring("A", f"A-{offset}", Rank.NORMAL, HERE, offset), 0.0)
    lanes.next(0.0)
    report.look(lanes, 0.0, paused=0, settled=True)
    assert needed() == 2
    lanes.revoked([HERE], 0.0)
    assert report.look(lanes, 0.0, paused=0, settled=False)["A"].in_flight == 3
    assert needed() == 2, "nobody knows yet whose it is"
    report.look(lanes, 0.0, paused=0, settled=True)
    assert needed() == 0


def test_what_is_rung_for_again_although_it_is_done_asks_for_no_calls() -> None:
    lanes = Lanes(calls_max=9, lane_max=100, gap_max=100, make_limit=lambda _: FixedLimit(9))
    no_producer: Any = None
    report = Report(PulseWriter("worker", no_producer), calls_max=9, wait_target_seconds=10.0)
    lanes.assigned([HERE])
    for offset in range(40):
        lanes.offer(Ring("A", f"A-{offset}", Rank.NORMAL, HERE, offset), 0.0)
    report.look(lanes, 0.0, paused=0, settled=True)
    assert needed() == 8
    for seq, line, calls in ((1, 3, 1), (2, 0, 1), (3, 400, 9)):
        report.saw_lines({"A": (seq, line)})
        report.look(lanes, 0.0, paused=0, settled=True)
        assert needed() == calls, line


def test_what_waits_for_the_eligibility_system_asks_for_no_calls_while_that_is_away() -> None:
    """It has left its lane, and stands in its clinic's line all the same."""
    lanes = Lanes(calls_max=9, lane_max=100, gap_max=100, make_limit=lambda _: FixedLimit(9))
    no_producer: Any = None
    report = Report(PulseWriter("worker", no_producer), calls_max=9, wait_target_seconds=10.0)
    lanes.assigned([HERE])
    lanes.offer(Ring("A", "A-0", Rank.NORMAL, HERE, 0), 0.0)
    [work] = lanes.next(0.0)
    lanes.finished(work, 0.0, Disposition(Action.PARK, 60.0))
    report.saw_lines({"A": (1, 40)})
    report.look(lanes, 0.0, paused=0, settled=True, unverifiable=True)
    assert needed() == 0
    assert REGISTRY.get_sample_value("waiting_room_eligibility_away") == 1
    report.look(lanes, 0.0, paused=0, settled=True)
    assert needed() == 8, "it is back"
    lanes.offer(Ring("A", "A-1", Rank.NORMAL, HERE, 1), 0.0)
    report.look(lanes, 0.0, paused=0, settled=True, unverifiable=True)
    assert needed() == 8, "there is something to call for"


def test_a_line_that_grows_asks_for_more_calls_but_not_by_what_a_rebalance_rings_for_again() -> None:
    lanes = Lanes(calls_max=9, lane_max=100, gap_max=100, make_limit=lambda _: FixedLimit(9))
    no_producer: Any = None
    report = Report(PulseWriter("worker", no_producer), calls_max=9, wait_target_seconds=10.0)
    lanes.assigned([HERE])
    for offset in range(5):
        lanes.offer(Ring("A", f"A-{offset}", Rank.NORMAL, HERE, offset), 0.0)
        report.look(lanes, float(offset), paused=0, settled=True)
    assert needed() == 1, "rung for five times in four seconds: PostgreSQL has not said a word yet"
    report.saw_lines({"A": (1, 5)})
    report.look(lanes, 5.0, paused=0, settled=True)
    assert needed() == 1, "the first word of it"
    report.saw_lines({"A": (2, 5)})
    report.look(lanes, 6.0, paused=0, settled=True)
    assert needed() == 1
    report.saw_lines({"A": (3, 10)})
    report.look(lanes, 7.0, paused=0, settled=True)
    assert needed() == 4, "5 in a second: 0.9/s on average, so 19 in ten seconds"
    report.look(lanes, 8.0, paused=0, settled=False)
    for second, word in ((9.0, (3, 10)), (10.0, (4, 12))):
        report.saw_lines({"A": word})
        report.look(lanes, second, paused=0, settled=True)
        assert needed() == 2 + (word[1] > 10), "after a rebalance it begins anew"
