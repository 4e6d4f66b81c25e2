"""All lanes of one worker: which booking may start its clinic call now. Pure: events and ``now`` in, works out.

    assigned ─▶ offer ─▶ next ─▶ (claim) ─▶ (call) ─▶ answered ─▶ (record) ─▶ finished ─▶ committable
                          ▲                                                      │
                          └──────────── retry, aside, elsewhere ◀────────────────┘

The caller makes the calls. It asks ``next`` after every event and at ``wake_at``, and starts whatever comes out.
``now`` is monotonic seconds and never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from heapq import heappop, heappush

from workers.pacing.breaker import Breaker
from workers.pacing.disposition import Action, Disposition
from workers.pacing.lane import Lane
from workers.pacing.limit import Limit
from workers.pacing.offsets import Offsets, Partition
from workers.pacing.pauses import Pauses
from workers.pacing.turns import Turns
from workers.pacing.work import Key, Ring, Verdict, Where, Work


@dataclass(frozen=True, slots=True)
class LaneView:
    """What a lane shows of itself."""

    limit: int
    in_flight: int
    waiting: int
    breaker_open: bool


class Lanes:
    """``calls_max``: works started and not yet answered, over all clinics. ``lane_max``: works of one clinic and rank
    that wait, beyond which its partition is to be paused; what had been read by then is still taken. ``gap_max``: the
    same for unfinished records of one partition.
    """

    def __init__(
        self,
        *,
        calls_max: int,
        lane_max: int,
        gap_max: int,
        make_limit: Callable[[str], Limit],
        make_breaker: Callable[[], Breaker] = Breaker,
    ) -> None:
        self.offsets = Offsets()
        self._pauses = Pauses(self.offsets, lane_max=lane_max, gap_max=gap_max)
        self._calls_max = calls_max
        self._make_limit = make_limit
        self._make_breaker = make_breaker
        self._lanes: dict[str, Lane] = {}
        self._works: dict[Key, Work] = {}
        self._turns = Turns()
        self._alarms: list[tuple[float, str]] = []
        self._alarm_of: dict[str, float] = {}
        self._last_turn = 0
        self._started = 0
        self._stopped = False

    # Partitions

    def assigned(self, partitions: Collection[Partition]) -> None:
        """These are read by us from now on."""
        self.offsets.assigned(partitions)

    def revoked(self, partitions: Collection[Partition], now: float) -> None:
        """These are somebody else's: what has not started is forgotten. What has started goes on, since its claim is
        ours; if it is not over then, it is not tried again here.
        """
        gone = set(partitions)
        self.offsets.revoked(gone)
        self._pauses.forget(gone)
        for work in list(self._works.values()):
            work.rings = [ring for ring in work.rings if ring.partition not in gone]
            work.rung_again = [ring for ring in work.rung_again if ring.partition not in gone]
            if not work.rings and work.where is not Where.STARTED:
                self._lanes[work.clinic_id].remove(work)
                self._drop(work)
        for lane in list(self._lanes.values()):
            if gone.intersection(lane.sources):
                for partition in gone:
                    lane.sources.pop(partition, None)
                self._settle(lane, now)

    @property
    def pauses(self) -> frozenset[Partition]:
        """Partitions that should not be read now. Apply it again after each assignment: a new one starts unpaused."""
        return self._pauses.wanted

    # The way of a work

    def offer(self, ring: Ring, now: float) -> None:
        """A record was read. Of a partition that is not ours, or read before: ignored.

        A booking that waits already is not lined up twice; one that is under way is looked at again afterwards.
        """
        if not self.offsets.started(ring.partition, ring.offset):
            return
        lane = self._lane(ring.clinic_id)
        lane.sources[ring.partition] = ring.rank
        work = self._works.get(ring.key)
        if work is None:
            self._works[ring.key] = work = Work(ring, self._next_turn(), [ring])
            lane.works += 1
            lane.append(work)
        elif work.where is Where.STARTED:
            work.rung_again.append(ring)
        else:
            work.rings.append(ring)
            if ring.rank < work.rank and work.where is Where.WAITING:
                lane.remove(work)
                work.ring, work.turn = ring, self._next_turn()
                lane.append(work)
        self._settle(lane, now)

    def pass_over(self, partition: Partition, offset: int) -> None:
        """A record was read that leads to no work. Of a partition that is not ours: ignored."""
        if self.offsets.started(partition, offset):
            self.offsets.finished(partition, offset)

    def next(self, now: float) -> list[Work]:
        """The works that start now, each with a slot of its clinic's limit and of the worker's budget."""
        while self._alarms and self._alarms[0][0] <= now:
            at, clinic_id = heappop(self._alarms)
            if self._alarm_of.get(clinic_id) == at:
                del self._alarm_of[clinic_id]
                self._settle(self._lanes[clinic_id], now)
        works: list[Work] = []
        while not self._stopped and self._started < self._calls_max and (lane := self._turns.pop()) is not None:
            works.append(lane.start(now))
            self._started += 1
            self._settle(lane, now)
        return works

    def answered(
        self,
        work: Work,
        now: float,
        verdict: Verdict,
        *,
        seconds: float | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        """The call is over: its slot is free again, before its outcome is stored. ``seconds``: see Limit.on_success.

        A booking's try is spent by a clinic that does not answer, and by one that turns it away although it carries
        nothing else of ours; not by one that is busy with our other calls.
        """
        lane = self._lanes[work.clinic_id]
        self._free(work, lane)
        match verdict:
            case Verdict.ANSWERED:
                lane.breaker.succeeded()
                lane.limit.on_success(now, seconds)
            case Verdict.OVERLOADED:
                lane.limit.on_overload(now, retry_after_seconds)
                if work.probe or not lane.in_flight:
                    work.tries += 1
                    lane.breaker.failed(now, probe=work.probe)
            case Verdict.FAILED:
                work.tries += 1
                lane.limit.on_failure(now)
                lane.breaker.failed(now, probe=work.probe)
            case Verdict.NOT_ASKED:
                lane.breaker.said_nothing(probe=work.probe)
        self._settle(lane, now)

    def faulted(self, work: Work) -> None:
        """A bug of ours hit this work; the clinic has nothing to do with it."""
        work.faults += 1

    def finished(self, work: Work, now: float, disposition: Disposition) -> None:
        """What was learnt is stored. The work leaves its lane or comes back, as ``disposition`` says.

        Without ``answered`` before, no call was made; only then can it be ELSEWHERE: its slot goes on being taken.
        """
        lane = self._lanes[work.clinic_id]
        if work.has_slot:
            self._free(work, lane)
            lane.breaker.said_nothing(probe=work.probe)
        if disposition.leaves:
            for ring in work.rings:
                self.offsets.finished(ring.partition, ring.offset)
            work.rings = []
        work.rings, work.rung_again = work.rings + work.rung_again, []
        comes_back = bool(work.rings)
        if not comes_back:
            self._drop(work)
        elif disposition.leaves:
            work.tries = work.faults = 0
            lane.put_back(work, now)
        elif disposition.action is Action.RETRY:
            lane.put_back(work, now + disposition.after_seconds)
        else:
            elsewhere = disposition.action is Action.ELSEWHERE
            lane.put_aside(work, now + disposition.after_seconds, elsewhere=elsewhere)
        self._settle(lane, now)

    def wake_at(self) -> float | None:
        """When to ask ``next`` again if nothing happens until then."""
        while self._alarms and self._alarm_of.get(self._alarms[0][1]) != self._alarms[0][0]:
            heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def stop(self) -> None:
        """Start nothing any more; what has started may still be answered and finished."""
        self._stopped = True

    # For others to see

    def declare(self, clinic_id: str, ceiling: int, now: float) -> None:
        """The clinic says what it can take; nothing happens if it has no lane."""
        if (lane := self._lanes.get(clinic_id)) is not None:
            lane.limit.declare(ceiling)
            self._settle(lane, now)

    def views(self) -> dict[str, LaneView]:
        """Every lane there is, by clinic."""
        return {
            clinic_id: LaneView(lane.limit.allowed, lane.in_flight, sum(lane.waiting.values()), lane.breaker.open)
            for clinic_id, lane in self._lanes.items()
        }

    @property
    def started(self) -> int:
        """Works that hold a slot of the worker's budget."""
        return self._started

    def _lane(self, clinic_id: str) -> Lane:
        lane = self._lanes.get(clinic_id)
        if lane is None:
            lane = self._lanes[clinic_id] = Lane(clinic_id, self._make_limit(clinic_id), self._make_breaker())
        return lane

    def _next_turn(self) -> int:
        self._last_turn += 1
        return self._last_turn

    def _free(self, work: Work, lane: Lane) -> None:
        work.has_slot = False
        lane.in_flight -= 1
        self._started -= 1

    def _drop(self, work: Work) -> None:
        del self._works[work.key]
        self._lanes[work.clinic_id].works -= 1

    def _settle(self, lane: Lane, now: float) -> None:
        """After anything about a lane has changed: is it its turn, and if not, when is it to be asked again?

        A lane is kept with what it has learnt for as long as its partition is ours or a work of it is under way.
        """
        if not lane.works and not lane.sources:
            self._turns.discard(lane)
            self._alarm_of.pop(lane.clinic_id, None)
            del self._lanes[lane.clinic_id]
            return
        self._pauses.look_at(lane)
        if lane.ready(now):
            self._turns.add(lane)
            return
        self._turns.discard(lane)
        at = lane.wake_at(now)
        if at is None:
            self._alarm_of.pop(lane.clinic_id, None)
        elif self._alarm_of.get(lane.clinic_id) != at:
            self._alarm_of[lane.clinic_id] = at
            heappush(self._alarms, (at, lane.clinic_id))
