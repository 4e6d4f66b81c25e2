"""A clinic that moves to another partition, as the lanes see it."""

from __future__ import annotations

from tests.support.lanes import NORMAL, World
from workers.pacing.disposition import Action, Disposition
from workers.pacing.offsets import Partition
from workers.pacing.work import Rank, Verdict

ELSEWHERE: Partition = ("clinic.confirmations", 1)


def test_a_clinic_that_moves_to_another_worker_is_let_go() -> None:
    world = World(limit=1, lane_max=4)
    world.ring("1", "2", "3", "4")
    world.ring("9", clinic="B")
    one, nine = world.start()
    assert world.lanes.pauses == {NORMAL}
    world.lanes.drop("A", world.now, to=ELSEWHERE)
    assert world.lanes.pauses == frozenset()
    assert world.lanes.offsets.committable() == {NORMAL: 4}, "what was rung for is in PostgreSQL"
    world.end(one, Verdict.FAILED, Disposition(Action.RETRY, 1.0))
    assert "A" not in world.lanes.views(world.now), "the call that was under way ends and is not repeated here"
    world.end(nine)
    assert world.lanes.offsets.committable() == {NORMAL: 5}


def test_a_clinic_that_moves_within_a_worker_is_filled_from_the_database_and_keeps_what_it_learnt() -> None:
    world = World(limit=1, lane_max=4)
    world.lanes.assigned([ELSEWHERE])
    world.ring("1", "2", "3")
    (one,) = world.start()
    limit = world.lanes.limits()["A"]
    world.lanes.drop("A", world.now, to=ELSEWHERE)
    assert world.lanes.limits()["A"] is limit
    assert world.lanes.offsets.committable() == {NORMAL: 3}
    (refill,) = world.lanes.refills()
    assert refill.known == ("1",), "the call under way is its own"
    world.lanes.refilled(refill, [("2", Rank.NORMAL), ("3", Rank.NORMAL)], world.now)
    world.end(one, Verdict.FAILED, Disposition(Action.RETRY, 1.0))
    world.now = 1.0
    assert world.start_refs() == ["1"]


def test_a_partition_that_is_paused_for_a_clinic_that_leaves_is_read_again() -> None:
    world = World(limit=1, lane_max=50, gap_max=4)
    world.ring("1", "2", "3", "4")
    assert world.lanes.pauses == {NORMAL}
    world.lanes.drop("A", world.now, to=ELSEWHERE)
    assert world.lanes.pauses == frozenset()


def test_a_clinic_that_came_is_adopted_where_its_partition_is_ours() -> None:
    world = World(limit=1)
    world.lanes.adopt("A", ELSEWHERE, world.now)
    assert world.lanes.refills() == []
    world.lanes.adopt("A", NORMAL, world.now)
    (refill,) = world.lanes.refills()
    world.ring("3")
    world.lanes.refilled(refill, [("1", Rank.NORMAL), ("2", Rank.PRIORITY)], world.now)
    assert world.start_refs() == ["2"]
    assert world.lanes.refills() != [], "what was rung for meanwhile is looked for once more"


def test_when_others_come_what_a_full_lane_was_rung_for_does_not_hold_them_up() -> None:
    world = World(limit=1, lane_max=4)
    world.ring("1", "2", "3", "4", "5", "6")
    (one,) = world.start()
    world.ring("1")
    assert world.lanes.pauses == {NORMAL}
    world.shared = True
    world.lanes.joined("A", world.now)
    assert world.lanes.pauses == frozenset()
    assert world.lanes.offsets.committable() == {NORMAL: 7}, "the line is in PostgreSQL"
    world.end(one)
    assert world.start_refs() == ["1"], "it was rung for again meanwhile"
    assert world.lanes.views(world.now)["A"].waiting == 5, "and the others are here still"


def test_what_is_rung_for_during_a_call_is_looked_at_afterwards_wherever_its_clinic_went_meanwhile() -> None:
    world = World(limit=1)
    world.lanes.assigned([ELSEWHERE])
    world.ring("1", "2")
    (one,) = world.start()
    world.ring("1")
    world.lanes.drop("A", world.now, to=ELSEWHERE)
    (refill,) = world.lanes.refills()
    world.lanes.refilled(refill, [("2", Rank.NORMAL)], world.now)
    world.end(one)
    assert world.start_refs() == ["1"]


def test_a_call_that_fails_after_its_partition_went_and_came_back_is_tried_again_when_it_is_due() -> None:
    world = World(limit=1)
    world.shared = True
    world.ring("1")
    (one,) = world.start()
    world.lanes.revoked([NORMAL], world.now)
    world.lanes.assigned([NORMAL])
    world.lanes.adopt("A", NORMAL, world.now)
    (refill,) = world.lanes.refills()
    world.lanes.refilled(refill, [], world.now)
    world.end(one, Verdict.FAILED, Disposition(Action.RETRY, 1.0))
    (refill,) = world.lanes.refills()
    world.lanes.refilled(refill, [], world.now, more_at=1.0)
    assert (world.start_refs(), world.lanes.refills()) == ([], [])
    assert world.lanes.wake_at() == 1.0
    world.now = 1.0
    assert world.start_refs() == []
    (refill,) = world.lanes.refills()
    world.lanes.refilled(refill, [("1", Rank.NORMAL)], world.now)
    assert world.start_refs() == ["1"]
