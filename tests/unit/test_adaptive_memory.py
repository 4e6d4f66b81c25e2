"""What one owner of a clinic leaves to the next: what it has found out, not how far it had got."""

from __future__ import annotations

from workers.pacing.adaptive import AdaptiveLimit


def answer(limit: AdaptiveLimit, calls: int, at_once: int) -> None:
    for number in range(calls):
        limit.on_start(float(number), at_once)
        limit.on_success(float(number), at_once, 1.0)


def test_a_first_search_under_way_is_no_knowledge() -> None:
    limit = AdaptiveLimit(16)
    assert limit.memory is None
    answer(limit, 1, 1)
    assert limit.memory is None
    for at_once in (2, 4):
        answer(limit, at_once, at_once)
        assert limit.memory is None, f"{at_once} at once went well; what more would have is not known"


def test_what_was_too_many_and_what_was_declared_are() -> None:
    found = AdaptiveLimit(16)
    answer(found, 1, 1)
    answer(found, 2, 2)
    found.on_overload(3.0, 3, None)
    assert found.memory is not None
    assert found.memory.limit == 2
    declared = AdaptiveLimit(2)
    answer(declared, 1, 1)
    answer(declared, 2, 2)
    assert declared.memory is not None
    assert declared.memory.limit == 2


def test_what_was_remembered_is_left_to_the_next_as_well() -> None:
    limit = AdaptiveLimit(16)
    answer(limit, 1, 1)
    answer(limit, 2, 2)
    limit.on_overload(3.0, 3, None)
    assert AdaptiveLimit(16, limit.memory).memory == limit.memory
