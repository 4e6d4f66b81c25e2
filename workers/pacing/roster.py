"""The lanes of one worker and the works in them, kept consistent: what has changed is looked at once, here."""

from __future__ import annotations

from collections.abc import Callable

from workers.pacing.agenda import Agenda
from workers.pacing.breaker import Breaker
from workers.pacing.lane import Lane
from workers.pacing.limit import Limit
from workers.pacing.offsets import Offsets
from workers.pacing.pauses import Pauses
from workers.pacing.work import Key, Rank, Ring, Work


class Roster:
    """See Lanes for what is given. ``to_fill``: clinics whose lanes want more from PostgreSQL."""

    def __init__(
        self,
        *,
        lane_max: int,
        gap_max: int,
        make_limit: Callable[[str], Limit],
        make_breaker: Callable[[], Breaker],
        shared: Callable[[str], bool],
    ) -> None:
        self.offsets = Offsets()
        self.pauses = Pauses(self.offsets, lane_max=lane_max, gap_max=gap_max)
        self.agenda = Agenda()
        self.lanes: dict[str, Lane] = {}
        self.works: dict[Key, Work] = {}
        self.to_fill: dict[str, None] = {}
        self.lane_max = lane_max
        self._make_limit = make_limit
        self._make_breaker = make_breaker
        self._shared = shared
        self._last_turn = 0

    def lane(self, clinic_id: str) -> Lane:
        """The clinic's lane, made if there is none."""
        lane = self.lanes.get(clinic_id)
        if lane is None:
            lane = self.lanes[clinic_id] = Lane(clinic_id, self._make_limit(clinic_id), self._make_breaker())
        return lane

    def overflows(self, lane: Lane, rank: Rank) -> bool:
        """Whether what comes now stays in PostgreSQL."""
        return lane.overflow.on or (lane.waiting[rank] >= self.lane_max and self._shared(lane.clinic_id))

    def line_up(self, lane: Lane, ring: Ring, *, taken: bool = False) -> None:
        """A new work, behind all others of its rank. ``taken``: from PostgreSQL, where no record stands for it."""
        work = Work(ring, self.next_turn(), [] if taken else [ring], taken=taken)
        self.works[work.key] = work
        lane.works += 1
        lane.append(work)

    def drop(self, work: Work) -> None:
        """Forget a work that is in no place of its lane."""
        del self.works[work.key]
        self.lanes[work.clinic_id].works -= 1

    def finish_rings(self, work: Work) -> None:
        """Its records are done with."""
        for ring in work.rings:
            self.offsets.finished(ring.partition, ring.offset)
        work.rings = []

    def next_turn(self) -> int:
        """A place behind all there are."""
        self._last_turn += 1
        return self._last_turn

    def settle(self, lane: Lane, now: float) -> None:
        """After anything about a lane has changed. A lane is kept with what it has learnt for as long as its partition
        is ours or a work of it is under way.
        """
        if not lane.works and not lane.sources:
            self.agenda.forget(lane)
            self.to_fill.pop(lane.clinic_id, None)
            del self.lanes[lane.clinic_id]
            return
        self.pauses.look_at(lane, shared=self._shared(lane.clinic_id))
        overflow = lane.overflow
        if overflow.on and not overflow.filling and lane.waiting_all <= self.lane_max // 2 and lane.sources:
            self.to_fill[lane.clinic_id] = None
        self.agenda.look_at(lane, now)
