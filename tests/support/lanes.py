"""Lanes with a broker that appends and a hand that drives the clock."""

from __future__ import annotations

from workers.pacing.disposition import FINISHED, Disposition
from workers.pacing.lanes import Lanes
from workers.pacing.limit import FixedLimit
from workers.pacing.offsets import Partition
from workers.pacing.work import Rank, Ring, Verdict, Work

NORMAL: Partition = ("clinic.confirmations", 0)
PRIORITY: Partition = ("clinic.confirmations.priority", 0)


class World:
    """Clinic "A" unless told otherwise; all of them take ``limit`` calls."""

    def __init__(self, *, limit: int = 2, calls_max: int = 100, lane_max: int = 4, gap_max: int = 100) -> None:
        self.shared = False
        self.lanes = Lanes(
            calls_max=calls_max,
            lane_max=lane_max,
            gap_max=gap_max,
            make_limit=lambda _: FixedLimit(limit),
            shared=lambda _: self.shared,
        )
        self.offsets: dict[Partition, int] = {}
        self.now = 0.0
        self.lanes.assigned([NORMAL, PRIORITY])

    def ring(self, *refs: str, clinic: str = "A", partition: Partition = NORMAL) -> None:
        for ref in refs:
            offset = self.offsets.get(partition, 0)
            self.offsets[partition] = offset + 1
            rank = Rank.PRIORITY if partition == PRIORITY else Rank.NORMAL
            self.lanes.offer(Ring(clinic, ref, rank, partition, offset), self.now)

    def start(self) -> list[Work]:
        return self.lanes.next(self.now)

    def start_refs(self) -> list[str]:
        return [work.booking_ref for work in self.start()]

    def end(self, work: Work, verdict: Verdict = Verdict.ANSWERED, then: Disposition = FINISHED) -> None:
        self.lanes.answered(work, self.now, verdict)
        self.lanes.finished(work, self.now, then)
