"""Whose a clinic's calls are, when its partition changes hands."""

from __future__ import annotations

from tests.support.lanes import NORMAL, PRIORITY, World
from workers.pacing.disposition import FINISHED, Action, Disposition
from workers.pacing.work import Rank, Verdict


def test_what_has_started_when_it_is_revoked_goes_on_but_is_not_tried_again() -> None:
    world = World(limit=1)
    world.ring("1", "2")
    (work,) = world.start()
    world.lanes.revoked([NORMAL, PRIORITY], world.now)
    assert world.start() == []
    world.end(work, Verdict.FAILED, Disposition(Action.RETRY, 0.0))
    assert world.start() == []
    assert world.lanes.views(world.now) == {}
    assert world.lanes.offsets.committable() == {}


def test_a_lane_that_only_ends_its_calls_is_not_ours_any_more() -> None:
    world = World(limit=1)
    world.ring("1", "2")
    (work,) = world.start()
    assert world.lanes.views(world.now)["A"].ours
    world.lanes.revoked([NORMAL, PRIORITY], world.now)
    assert not world.lanes.views(world.now)["A"].ours
    world.end(work)
    assert world.lanes.views(world.now) == {}


def test_anothers_call_takes_a_slot_until_it_is_looked_at_and_goes_first() -> None:
    world = World(limit=2)
    world.lanes.leased("A", "0", Rank.NORMAL, NORMAL, 2.0, world.now)
    world.lanes.leased("A", "9", Rank.NORMAL, ("not ours", 0), 2.0, world.now)
    world.ring("0", "1", "2")
    assert world.start_refs() == ["1"]
    assert world.lanes.views(world.now)["A"].in_flight == 2
    world.now = 2.0
    (looked_at,) = world.start()
    assert looked_at.booking_ref == "0"
    world.lanes.finished(looked_at, world.now, FINISHED)
    assert world.start_refs() == ["2"]
    assert world.lanes.offsets.committable() == {NORMAL: 1}


def test_anothers_calls_are_looked_at_before_what_goes_before_everything_else() -> None:
    """They may still be under way: their slots are nobody else's meanwhile."""
    world = World(limit=2)
    for ref in ("0", "1"):
        world.lanes.leased("A", ref, Rank.NORMAL, NORMAL, 2.0, world.now)
    world.ring("withdrawn", partition=PRIORITY)
    assert world.start_refs() == []
    world.now = 2.0
    looked_at = world.start()
    assert [work.booking_ref for work in looked_at] == ["0", "1"]
    for work, seconds in zip(looked_at, (3.0, 1.0), strict=True):
        world.lanes.finished(work, world.now, Disposition(Action.ELSEWHERE, seconds))
    assert world.start_refs() == []
    world.now = 3.0
    (over,) = world.start()
    assert over.booking_ref == "1"
    world.lanes.finished(over, world.now, FINISHED)
    assert world.start_refs() == ["withdrawn"]


def test_anothers_call_is_forgotten_with_its_partition_and_ours_is_not_taken_for_one() -> None:
    world = World(limit=2)
    world.ring("1")
    (work,) = world.start()
    world.lanes.leased("A", "1", Rank.NORMAL, NORMAL, 2.0, world.now)
    world.lanes.leased("A", "0", Rank.PRIORITY, NORMAL, 2.0, world.now)
    world.lanes.revoked([NORMAL, PRIORITY], world.now)
    assert world.lanes.views(world.now)["A"].in_flight == 1
    world.end(work)
    assert world.lanes.views(world.now) == {}
