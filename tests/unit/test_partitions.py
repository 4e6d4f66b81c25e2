"""Partitions are given explicitly, kept, and spread by number of clinics."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.partitions import CannotAssign, assign

PARTITIONS = 8


def test_a_new_clinic_gets_the_partition_with_the_fewest_clinics() -> None:
    held = {"a": 0, "b": 0, "c": 2}
    assert assign({"d": None, "e": None}, held, 3) == {"d": 1, "e": 1}


def test_explicit_partitions_count_before_the_others_are_chosen() -> None:
    assert assign({"a": None, "b": 0, "c": 0}, {}, 2) == {"a": 1, "b": 0, "c": 0}


def test_a_known_clinic_keeps_its_partition() -> None:
    assert assign({"a": None, "b": 1}, {"a": 3, "b": 1}, 4) == {"a": 3, "b": 1}


def test_moving_a_clinic_is_refused() -> None:
    with pytest.raises(
        CannotAssign, match="clinic a: is on partition 3, not 1; moving a clinic needs the move command"
    ):
        assign({"a": 1}, {"a": 3}, 4)


def test_a_partition_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CannotAssign, match="clinic a: partition 4 is not one of 0 to 3"):
        assign({"a": 4}, {}, 4)


@given(
    held=st.dictionaries(st.integers(0, 40).map(str), st.integers(0, PARTITIONS - 1)),
    wanted=st.sets(st.integers(0, 60).map(str)),
)
def test_new_clinics_never_crowd_a_partition_while_another_is_emptier(held: dict[str, int], wanted: set[str]) -> None:
    assigned = assign(dict.fromkeys(sorted(wanted)), held, PARTITIONS)
    new = {clinic: partition for clinic, partition in assigned.items() if clinic not in held}
    after = Counter(dict.fromkeys(range(PARTITIONS), 0))
    after.update(held.values())
    after.update(new.values())
    assert assigned.keys() == wanted
    assert all(after[partition] - 1 <= min(after.values()) for partition in new.values())
