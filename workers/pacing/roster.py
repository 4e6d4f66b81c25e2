"""The lanes of one worker and the works in them, kept consistent: what has changed is looked at once, here."""

from __future__ import annotations

from collections.abc import Callable, Collection

from workers.pacing.agenda import Agenda
from workers.pacing.breaker import Breaker
from workers.pacing.lane import Lane
from workers.pacing.limit import Limit
from workers.pacing.offsets import Offsets, Partition
from workers.pacing.overflow import Overflow
from workers.pacing.pauses import Pauses
from workers.pacing.work import Key, Rank, Ring, Where, Work


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
        self.shared = shared
        self._last_turn = 0

    def lane(self, clinic_id: str) -> Lane:
        """The clinic's lane, made if there is none."""
        lane = self.lanes.get(clinic_id)
        if lane is None:
            lane = self.lanes[clinic_id] = Lane(clinic_id, self._make_limit(clinic_id), self._make_breaker())
        return lane

    def line_up(self, lane: Lane, ring: Ring, *, taken: bool = False) -> None:
        """A new work, behind all others of its rank. ``taken``: no record stands for it, only its row in PostgreSQL."""
        work = Work(ring, self.next_turn(), [] if taken else [ring], taken=taken)
        self.works[work.key] = work
        lane.works += 1
        lane.append(work)

    def count_elsewhere(self, lane: Lane, ring: Ring, until: float) -> None:
        """A new work whose call is another's until then, and takes a slot; no record stands for it."""
        work = Work(ring, self.next_turn(), [], taken=True)
        self.works[work.key] = work
        lane.works += 1
        lane.put_aside(work, until, elsewhere=True)

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

    def lose(self, partitions: Collection[Partition], now: float) -> None:
        """See Lanes.revoked."""
        gone = set(partitions)
        self.offsets.revoked(gone)
        self.pauses.forget(gone)
        left = {lane.clinic_id: lane for lane in self.lanes.values() if gone.intersection(lane.sources)}
        for lane in left.values():
            for partition in gone:
                lane.sources.pop(partition, None)
            lane.overflow = Overflow()
        for work in list(self.works.values()):
            if (lane_left := left.get(work.clinic_id)) is None:
                continue
            work.rings = [ring for ring in work.rings if ring.partition not in gone]
            work.rung_again = [ring for ring in work.rung_again if ring.partition not in gone]
            work.taken = work.taken and bool(lane_left.sources)
            if not work.ours and work.where is not Where.STARTED:
                lane_left.remove(work)
                self.drop(work)
        for lane in left.values():
            self.settle(lane, now)

    def move(self, clinic_id: str, to: Partition | None, now: float) -> None:
        """See Lanes.drop."""
        lane = self.lanes.get(clinic_id)
        if lane is None:
            return
        lane.sources.clear()
        lane.overflow = Overflow()
        stays = to is not None and to in self.offsets
        if to is not None and stays:
            lane.sources[to] = Rank.NORMAL
            lane.overflow.pass_over()
        for work in self._works_of(clinic_id):
            self._free_offsets(work)
            work.rings, work.taken = [], stays
            work.rung_again = work.rung_again if stays else []  # or nobody would look at it again
            if work.where is not Where.STARTED:
                lane.remove(work)
                self.drop(work)
        self.pauses.forget_lane(clinic_id)
        self.settle(lane, now)

    def join(self, clinic_id: str, now: float) -> None:
        """See Lanes.joined."""
        lane = self.lanes.get(clinic_id)
        if lane is None:
            return
        for work in self._works_of(clinic_id):
            self._free_offsets(work)
            work.taken = work.taken or bool(work.rings)
        self.pauses.forget_lane(clinic_id)
        self.settle(lane, now)

    def _works_of(self, clinic_id: str) -> list[Work]:
        return [work for work in self.works.values() if work.clinic_id == clinic_id]

    def _free_offsets(self, work: Work) -> None:
        for ring in (*work.rings, *work.rung_again):
            self.offsets.finished(ring.partition, ring.offset)

    def settle(self, lane: Lane, now: float) -> None:
        """After anything about a lane has changed. A lane is kept with what it has learnt for as long as its partition
        is ours or a work of it is under way.
        """
        if not lane.works and not lane.sources:
            self.agenda.forget(lane)
            self.to_fill.pop(lane.clinic_id, None)
            del self.lanes[lane.clinic_id]
            return
        self.pauses.look_at(lane, overflows=self.shared(lane.clinic_id))
        overflow = lane.overflow
        overflow.look_at(now)
        if overflow.on and overflow.asked is None and lane.waiting_all <= self.lane_max // 2 and lane.sources:
            self.to_fill[lane.clinic_id] = None
        self.agenda.look_at(lane, now)
