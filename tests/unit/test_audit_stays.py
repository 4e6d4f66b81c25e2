"""The order of a clinic's commands across the partitions it was in."""

from __future__ import annotations

from waiting_room.audit.facts import Appended, Move
from waiting_room.audit.stays import order_of, stays_of

THERE_AND_BACK = [Move(2, 1, 3), Move(3, 3, 1)]


def appended(partition: int, offset: int, after: int = 0) -> Appended:
    return Appended(partition, offset, in_time=True, redriven=False, held=True, after=after)


def test_a_clinic_that_never_moved_is_where_it_is() -> None:
    assert stays_of(5, []) == {5: [1]}
    assert stays_of(None, []) == {}


def test_there_and_back() -> None:
    stays = stays_of(1, THERE_AND_BACK)
    assert stays == {1: [1, 3], 3: [2]}
    before, there, back = appended(1, 90), appended(3, 7), appended(1, 95, after=2)
    orders = [order_of(each, stays, whole=True) for each in (before, there, back)]
    assert orders == [(1, 90), (2, 7), (3, 95)]


def test_what_stands_behind_the_last_marker_has_no_order() -> None:
    stays = stays_of(3, [Move(2, 1, 3)])
    assert order_of(appended(1, 95, after=2), stays, whole=True) is None
    assert order_of(appended(9, 1), stays, whole=True) is None, "where it never was"


def test_where_a_marker_may_be_gone_nothing_is_said() -> None:
    stays = stays_of(1, THERE_AND_BACK)
    assert order_of(appended(1, 90), stays, whole=False) is None
    assert order_of(appended(1, 90, after=2), stays, whole=False) == (3, 90)
    assert order_of(appended(3, 7), stays, whole=False) == (2, 7)
