"""Where a clinic was when: its commands have an order across the partitions it moved between. Pure.

It is in a partition from the map version that brought it there until its marker with a later one stands there, and
hold has waited in the next partition for that marker. What stands behind the marker, until it comes back, was written
by an ingress nobody knew to be alive: held, in no order to the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from waiting_room.audit.facts import Appended, Move, Stays

FIRST = 1
"""The map version a clinic begins with."""


def stays_of(partition: int | None, moves: Sequence[Move]) -> Stays:
    """``partition``: where the clinic is now; ``moves`` ascending by map version."""
    begins_in = moves[0].from_partition if moves else partition
    stays: dict[int, list[int]] = {} if begins_in is None else {begins_in: [FIRST]}
    for move in moves:
        stays.setdefault(move.to_partition, []).append(move.map_version)
    return stays


def order_of(record: Appended, stays: Stays, *, whole: bool) -> tuple[int, int] | None:
    """Sorts a clinic's records as they are to be held; None where nothing is promised, or nothing can be told.

    ``whole``: retention has deleted nothing of the clinic's partitions, markers neither.
    """
    versions = stays.get(record.partition, ())
    if not whole and record.after == 0 and len(versions) > 1:
        return None
    version = next((version for version in versions if version > record.after), None)
    return None if version is None else (version, record.offset)
