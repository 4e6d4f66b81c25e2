"""What the lanes promise, one promise a test."""

from __future__ import annotations

from tests.support.lanes import NORMAL, PRIORITY, World
from workers.pacing.disposition import Action, Disposition
from workers.pacing.view import LaneView, Why
from workers.pacing.work import Verdict


def test_first_come_first_served_up_to_the_limit() -> None:
    world = World(limit=2)
    world.ring("1", "2", "3", "4")
    first, second = world.start()
    assert (first.booking_ref, second.booking_ref) == ("1", "2")
    assert world.start() == []
    world.end(second)
    assert world.start_refs() == ["3"]


def test_priority_goes_first_and_lifts_what_waits_already() -> None:
    world = World(limit=1)
    world.ring("1", "2", "3")
    world.ring("9", "3", partition=PRIORITY)
    order = []
    while started := world.start():
        order.append(started[0].booking_ref)
        world.end(started[0])
    assert order == ["9", "3", "1", "2"]
    assert world.lanes.offsets.committable() == {NORMAL: 3, PRIORITY: 2}


def test_a_retry_keeps_its_place_and_the_others_wait_behind_it() -> None:
    world = World(limit=2)
    world.ring("1", "2", "3")
    first, second = world.start()
    world.end(first, Verdict.FAILED, Disposition(Action.RETRY, 1.0))
    world.end(second)
    assert world.start() == []
    assert world.lanes.wake_at() == 1.0
    world.now = 1.0
    assert world.start_refs() == ["1", "3"]


def test_what_steps_aside_lets_the_others_go_on_and_comes_back_first() -> None:
    world = World(limit=1)
    world.ring("1", "2", "3")
    world.end(world.start()[0], then=Disposition(Action.ASIDE, 1.0))
    (second,) = world.start()
    assert second.booking_ref == "2"
    world.now = 1.0
    world.end(second)
    assert world.start_refs() == ["1"]


def test_a_call_leased_elsewhere_takes_a_slot_until_it_ends() -> None:
    world = World(limit=1)
    world.ring("1", "2")
    (first,) = world.start()
    world.lanes.finished(first, 0.0, Disposition(Action.ELSEWHERE, 5.0))
    assert world.start() == []
    assert world.lanes.started == 0, "it is no call of this worker's"
    world.now = 5.0
    assert world.start_refs() == ["1"]


def test_finding_something_out_first_takes_no_slot_and_gives_the_place_back() -> None:
    world = World(limit=1, calls_max=1)
    world.ring("1", "2", "3")
    (first,) = world.start()
    world.lanes.verifying(first, world.now)
    assert world.lanes.started == 0
    (second,) = world.start()
    assert second.booking_ref == "2", "its clinic is called meanwhile"
    world.lanes.finished(first, world.now, Disposition(Action.RETRY))
    assert world.start() == []
    world.end(second)
    assert world.start_refs() == ["1"]


def test_what_is_found_out_first_counts_against_its_lanes_bound() -> None:
    world = World(limit=4, lane_max=3)
    world.ring("1", "2", "3")
    assert world.lanes.pauses == {NORMAL}
    for work in world.start():
        world.lanes.verifying(work, world.now)
    assert world.lanes.pauses == {NORMAL}
    for work in list(world.lanes._roster.works.values()):
        world.lanes.finished(work, world.now, Disposition(Action.PARK, 60.0))
    assert world.lanes.pauses == frozenset()
    assert world.lanes.offsets.committable() == {NORMAL: 3}


def test_a_probe_that_finds_something_out_first_leaves_its_clinic_to_be_tried() -> None:
    world = World(limit=1)
    world.ring("1", "2")
    breaker = world.lanes._roster.lanes["A"].breaker
    for _ in range(5):
        breaker.failed(world.now, probe=False)
    world.now = 1.0
    (probe,) = world.start()
    assert probe.probe
    world.lanes.verifying(probe, world.now)
    (second,) = world.start()
    assert second.probe


def test_a_booking_rung_for_twice_waits_once() -> None:
    world = World(limit=1)
    world.ring("1", "2", "2")
    world.end(world.start()[0])
    world.end(world.start()[0])
    assert world.start() == []
    assert world.lanes.offsets.committable() == {NORMAL: 3}


def test_a_ring_during_the_call_is_looked_at_afterwards() -> None:
    world = World(limit=1)
    world.ring("1")
    (work,) = world.start()
    world.ring("1", "2")
    world.end(work)
    assert world.lanes.offsets.committable() == {NORMAL: 1}
    (again,) = world.start()
    assert (again.booking_ref, again.tries) == ("1", 0)
    world.end(again)
    assert world.lanes.offsets.committable() == {NORMAL: 2}


def test_the_workers_budget_is_shared_fairly_and_what_is_not_needed_is_lent() -> None:
    world = World(limit=10, calls_max=6)
    world.ring(*map(str, range(10)), clinic="A")
    world.ring("1", clinic="B")
    calls = world.start()
    assert sorted(work.clinic_id for work in calls) == ["A"] * 5 + ["B"]
    world.ring(*map(str, range(10)), clinic="C")
    for work in calls[:4]:
        world.end(work)
        calls += world.start()
    running = [work.clinic_id for work in calls if work.has_slot]
    assert running.count("C") >= 2
    assert abs(running.count("A") - running.count("C")) <= 1


def test_a_full_lane_pauses_its_partition_until_it_is_half_empty() -> None:
    world = World(limit=1, lane_max=4)
    world.ring("1", "2", "3")
    assert world.lanes.pauses == frozenset()
    world.ring("4", "5")
    assert world.lanes.pauses == {NORMAL}
    waiting = []
    while started := world.start():
        waiting.append((world.lanes.views(world.now)["A"].waiting, bool(world.lanes.pauses)))
        world.end(started[0])
    assert waiting == [(4, True), (3, True), (2, False), (1, False), (0, False)]


def test_a_full_lane_does_not_pause_a_partition_that_others_share() -> None:
    world = World(limit=1, lane_max=4)
    world.shared = True
    world.ring("1", "2", "3", "4", "5", clinic="A")
    assert world.lanes.pauses == frozenset()
    assert world.lanes.views(world.now)["A"].overflows


def test_a_partition_that_comes_to_be_shared_is_read_again() -> None:
    world = World(limit=1, lane_max=4)
    world.ring("1", "2", "3", "4", clinic="A")
    assert world.lanes.pauses == {NORMAL}
    world.shared = True
    world.lanes.declare("A", 1, world.now)
    assert world.lanes.pauses == frozenset()


def test_too_much_unfinished_pauses_a_partition() -> None:
    world = World(limit=100, lane_max=100, gap_max=4)
    world.ring("1", "2", "3", "4")
    assert world.lanes.pauses == {NORMAL}
    first, *others = world.start()
    for work in others:
        world.end(work)
    assert world.lanes.pauses == {NORMAL}
    world.end(first)
    assert world.lanes.pauses == frozenset()


def test_while_the_breaker_is_open_nothing_is_spent() -> None:
    world = World(limit=5)
    world.ring("1", "2", "3", "4", "5")
    for work in world.start():
        world.end(work, Verdict.FAILED, Disposition(Action.RETRY, 0.0))
    assert world.lanes.views(world.now) == {
        "A": LaneView(limit=5, in_flight=0, waiting=5, breaker_open=True, why=Why.BREAKER)
    }
    assert world.start() == []
    assert world.lanes.wake_at() == 1.0
    world.now = 1.0
    (probe,) = world.start()
    assert (probe.booking_ref, probe.tries) == ("1", 1)
    world.end(probe)
    assert world.start_refs() == ["2", "3", "4", "5"]


def test_a_clinic_busy_with_our_other_calls_spends_no_try() -> None:
    world = World(limit=2)
    world.ring("1", "2")
    first, second = world.start()
    world.end(first, Verdict.OVERLOADED, Disposition(Action.RETRY, 2.0))
    world.end(second, Verdict.OVERLOADED, Disposition(Action.RETRY, 2.0))
    assert (first.tries, second.tries) == (0, 1)


def test_what_is_read_again_while_it_is_under_way_is_not_started_twice() -> None:
    world = World(limit=2)
    world.ring("1")
    (work,) = world.start()
    world.lanes.revoked([NORMAL, PRIORITY], world.now)
    world.lanes.assigned([NORMAL, PRIORITY])
    world.offsets.clear()
    world.ring("1", "2")
    assert world.start_refs() == ["2"]
    world.end(work)
    assert world.lanes.offsets.committable() == {}
    assert world.start_refs() == ["1"]


def test_stopped_lanes_finish_what_they_started() -> None:
    world = World(limit=1)
    world.ring("1", "2")
    (work,) = world.start()
    world.lanes.stop()
    world.end(work)
    assert world.start() == []
    assert world.lanes.offsets.committable() == {NORMAL: 1}


def test_a_clinic_may_declare_more() -> None:
    world = World(limit=1)
    world.ring("1", "2", "3")
    world.start()
    world.lanes.declare("A", 2, world.now)
    world.lanes.declare("nobody", 2, world.now)
    assert world.start_refs() == ["2"]


def test_faults_are_counted_apart() -> None:
    world = World()
    world.ring("1")
    (work,) = world.start()
    world.lanes.faulted(work)
    assert (work.faults, work.tries) == (1, 0)


def test_a_record_that_leads_to_no_work_is_passed_over_in_its_turn() -> None:
    world = World()
    world.ring("1")
    world.lanes.pass_over(NORMAL, 1)
    world.lanes.pass_over(("not ours", 0), 1)
    assert world.lanes.offsets.committable() == {}
    world.end(world.start()[0])
    assert world.lanes.offsets.committable() == {NORMAL: 2}


def test_what_comes_back_at_the_moment_a_slot_is_given_goes_first() -> None:
    """Its alarm has not been looked at yet: the worker's budget was what it waited for."""
    world = World(limit=1, calls_max=1)
    world.ring("0", "1", clinic="B")
    (first,) = world.start()
    world.ring("0", clinic="C")
    world.lanes.finished(first, world.now, Disposition(Action.ASIDE, 0.5))
    (elsewhere,) = world.start()
    world.now = 0.5
    assert world.start() == []
    world.end(elsewhere)
    assert world.start_refs() == ["0"]
