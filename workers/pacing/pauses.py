"""Which partitions should not be read for now: a lane fed from them is full, or too much of them is unfinished."""

from __future__ import annotations

from collections.abc import Collection

from workers.pacing.lane import Lane
from workers.pacing.offsets import Offsets, Partition


class Pauses:
    """Asks for a pause when something is full and takes it back when it is half empty."""

    def __init__(self, offsets: Offsets, *, lane_max: int, gap_max: int) -> None:
        self._offsets = offsets
        self._lane_max = lane_max
        self._gap_max = gap_max
        self._full_lanes: dict[Partition, set[str]] = {}
        self._wide_gaps: set[Partition] = set()

    @property
    def wanted(self) -> frozenset[Partition]:
        """To be paused, all others to be read."""
        return frozenset(self._wide_gaps).union(self._full_lanes)

    def look_at(self, lane: Lane, *, overflows: bool) -> None:
        """After this lane's line or its partitions' progress has changed. One that ``overflows`` is never full."""
        for partition, rank in lane.sources.items():
            waiting = lane.waiting[rank]
            if waiting >= self._lane_max and not overflows:
                self._full_lanes.setdefault(partition, set()).add(lane.clinic_id)
            elif overflows or waiting <= self._lane_max // 2:
                self._unblock(partition, lane.clinic_id)
            self._look_at_gap(partition)

    def forget(self, partitions: Collection[Partition]) -> None:
        """These are not ours any more."""
        self._wide_gaps.difference_update(partitions)
        for partition in partitions:
            self._full_lanes.pop(partition, None)

    def forget_lane(self, clinic_id: str) -> None:
        """It is not ours any more, although its partition is."""
        for partition in list(self._full_lanes):
            self._unblock(partition, clinic_id)
        for partition in list(self._wide_gaps):  # what was unfinished may have been its
            self._look_at_gap(partition)

    def _look_at_gap(self, partition: Partition) -> None:
        gap = self._offsets.gap(partition)
        if gap >= self._gap_max:
            self._wide_gaps.add(partition)
        elif gap <= self._gap_max // 2:
            self._wide_gaps.discard(partition)

    def _unblock(self, partition: Partition, clinic_id: str) -> None:
        blocking = self._full_lanes.get(partition)
        if blocking is not None:
            blocking.discard(clinic_id)
            if not blocking:
                del self._full_lanes[partition]
