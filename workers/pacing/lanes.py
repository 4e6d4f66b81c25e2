"""All lanes of one worker: which booking may start its clinic call now. Pure: events and ``now`` in, works out.

    assigned ─▶ offer ─▶ next ─▶ (claim) ─▶ (call) ─▶ answered ─▶ (record) ─▶ finished ─▶ committable
                          ▲         └────▶ verifying ─▶ (find out, record) ──────▲─┤
                          └──────────── retry, aside, elsewhere ◀──────────────────┘

The caller makes the calls. It asks ``next`` after every event and at ``wake_at``, and starts whatever comes out. Where
partitions are shared it also asks ``refills``, reads what they ask for and brings it by ``refilled``. ``now`` is
monotonic seconds and never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from workers.pacing.breaker import Breaker
from workers.pacing.disposition import Action, Disposition
from workers.pacing.lane import Lane
from workers.pacing.limit import Limit
from workers.pacing.offsets import Partition
from workers.pacing.overflow import Refill
from workers.pacing.roster import Roster
from workers.pacing.view import LaneView, view_of
from workers.pacing.work import Rank, Ring, Verdict, Where, Work


class Lanes:
    """``calls_max``: works started and not yet answered, over all clinics. ``lane_max``: works of one clinic and rank
    that wait, beyond which its partition is to be paused or, if it is ``shared`` with other clinics, what comes is
    passed over; what had been read by then is still taken. ``gap_max``: unfinished records of one partition, beyond
    which it is to be paused.
    """

    def __init__(
        self,
        *,
        calls_max: int,
        lane_max: int,
        gap_max: int,
        make_limit: Callable[[str], Limit],
        make_breaker: Callable[[], Breaker] = Breaker,
        shared: Callable[[str], bool] = lambda clinic_id: False,
    ) -> None:
        self._roster = Roster(
            lane_max=lane_max, gap_max=gap_max, make_limit=make_limit, make_breaker=make_breaker, shared=shared
        )
        self.offsets = self._roster.offsets
        self._calls_max = calls_max
        self._started = 0
        self._stopped = False

    # Partitions

    def assigned(self, partitions: Collection[Partition]) -> None:
        """These are read by us from now on."""
        self.offsets.assigned(partitions)

    def adopt(self, clinic_id: str, partition: Partition, now: float) -> None:
        """A clinic whose line is in PostgreSQL and perhaps in nobody's lane. If its partition is not ours: ignored."""
        if partition in self.offsets:
            lane = self._roster.lane(clinic_id)
            lane.sources.setdefault(partition, Rank.NORMAL)
            lane.overflow.pass_over()
            self._roster.settle(lane, now)

    def leased(
        self, clinic_id: str, booking_ref: str, rank: Rank, partition: Partition, until: float, now: float
    ) -> None:
        """Somebody else's call for this booking is under way, by its lease, and takes one of the clinic's slots. At
        ``until`` it is looked at. If its partition is not ours, or the booking is here already: ignored.
        """
        if partition in self.offsets and (clinic_id, booking_ref) not in self._roster.works:
            lane = self._roster.lane(clinic_id)
            lane.sources.setdefault(partition, Rank.NORMAL)
            self._roster.count_elsewhere(lane, Ring(clinic_id, booking_ref, rank, partition, -1), until)
            self._roster.settle(lane, now)

    def revoked(self, partitions: Collection[Partition], now: float) -> None:
        """These are somebody else's: what has not started is forgotten. What has started goes on, since its claim is
        ours; if it is not over then, it is not tried again here.
        """
        self._roster.lose(partitions, now)

    def drop(self, clinic_id: str, now: float, *, to: Partition | None = None) -> None:
        """This clinic is in another partition now, ``to``, although its old one is still ours. What was rung for counts
        as finished: it is in PostgreSQL, and whoever has the new partition reads it there. Is that us, its lane goes
        on with what it has learnt, filled from there.
        """
        self._roster.move(clinic_id, to, now)

    def joined(self, clinic_id: str, now: float) -> None:
        """Others have come to this clinic's partition: what was rung for counts as finished, as what comes will."""
        self._roster.join(clinic_id, now)

    @property
    def pauses(self) -> frozenset[Partition]:
        """Partitions that should not be read now. Apply it again after each assignment: a new one starts unpaused."""
        return self._roster.pauses.wanted

    # The way of a work

    def offer(self, ring: Ring, now: float) -> None:
        """A record was read. Of a partition that is not ours, or read before: ignored.

        A booking that waits already is not lined up twice; one that is under way is looked at again afterwards. Where
        the clinic shares its partition the record counts as finished at once: a line that cannot move must not keep
        the neighbours' offsets from moving, and whoever owns the partition next finds the line in PostgreSQL.
        """
        if not self.offsets.started(ring.partition, ring.offset):
            return
        shared = self._roster.shared(ring.clinic_id)
        if shared:
            self.offsets.finished(ring.partition, ring.offset)
        lane = self._roster.lane(ring.clinic_id)
        lane.sources[ring.partition] = ring.rank
        work = self._roster.works.get(ring.key)
        if work is None:
            if lane.overflow.on or (shared and lane.waiting[ring.rank] >= self._roster.lane_max):
                lane.overflow.pass_over()
                self.offsets.finished(ring.partition, ring.offset)
            else:
                self._roster.line_up(lane, ring, taken=shared)
        elif work.where is Where.STARTED:
            work.rung_again.append(ring)
        else:
            if not shared:
                work.rings.append(ring)
            if ring.rank < work.rank and work.where is Where.WAITING:
                lane.remove(work)
                work.ring, work.turn = ring, self._roster.next_turn()
                lane.append(work)
        self._roster.settle(lane, now)

    def pass_over(self, partition: Partition, offset: int) -> None:
        """A record was read that leads to no work. Of a partition that is not ours: ignored."""
        if self.offsets.started(partition, offset):
            self.offsets.finished(partition, offset)

    def refills(self) -> list[Refill]:
        """What is to be read from PostgreSQL now; each is to be answered by ``refilled`` or ``refill_failed``."""
        found = []
        for clinic_id in self._roster.to_fill:
            lane = self._roster.lanes[clinic_id]
            refill = Refill(clinic_id, self._roster.lane_max - lane.waiting_all, lane.refs())
            lane.overflow.ask(refill)
            found.append(refill)
        self._roster.to_fill.clear()
        return found

    def refilled(
        self, refill: Refill, bookings: Iterable[tuple[str, Rank]], now: float, *, more_at: float | None = None
    ) -> None:
        """What was found: (booking_ref, rank) in the order in which they go, at most as many as were wanted; and when
        the next comes due that was not yet, if one does soon.

        Asked before the clinic went to another worker, and perhaps came back, it is not the answer any more.
        """
        lane = self._roster.lanes.get(refill.clinic_id)
        if lane is None or lane.overflow.asked is not refill:
            return
        found = list(bookings)
        lane.overflow.filled(complete=len(found) < refill.wanted, again_at=more_at)
        home = next(iter(lane.sources))
        for booking_ref, rank in found:
            if (refill.clinic_id, booking_ref) not in self._roster.works:
                self._roster.line_up(lane, Ring(refill.clinic_id, booking_ref, rank, home, -1), taken=True)
        self._roster.settle(lane, now)

    def refill_failed(self, refill: Refill, now: float) -> None:
        """It could not be read: it is asked for again."""
        lane = self._roster.lanes.get(refill.clinic_id)
        if lane is not None and lane.overflow.asked is refill:
            lane.overflow.failed()
            self._roster.settle(lane, now)

    def next(self, now: float) -> list[Work]:
        """The works that start now, each with a slot of its clinic's limit and of the worker's budget."""
        for clinic_id in self._roster.agenda.rung(now):
            self._roster.settle(self._roster.lanes[clinic_id], now)
        works: list[Work] = []
        while (
            not self._stopped and self._started < self._calls_max and (lane := self._roster.agenda.next()) is not None
        ):
            works.append(lane.start(now))
            self._started += 1
            self._roster.settle(lane, now)
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
        lane = self._roster.lanes[work.clinic_id]
        self._free(work, lane)
        work.crowded = lane.in_flight > 0
        match verdict:
            case Verdict.ANSWERED:
                if lane.breaker.open:
                    lane.limit.on_recovery(now)
                lane.breaker.succeeded()
                lane.limit.on_success(now, work.in_flight, seconds)
            case Verdict.OVERLOADED:
                lane.limit.on_overload(now, work.in_flight, retry_after_seconds)
                if work.probe or not work.crowded:
                    work.tries += 1
                    lane.breaker.failed(now, probe=work.probe)
            case Verdict.FAILED:
                work.tries += 1
                lane.limit.on_failure(now, work.in_flight)
                lane.breaker.failed(now, probe=work.probe)
            case Verdict.NOT_ASKED:
                lane.breaker.said_nothing(probe=work.probe)
        self._roster.settle(lane, now)

    def verifying(self, work: Work, now: float) -> None:
        """Instead of a call something is found out elsewhere. It takes no slot meanwhile, neither its clinic's nor the
        worker's, so that whoever is slow or away there holds up no clinic; it goes on counting against its lane's
        bound. Then ``finished``, which may give it its place back.
        """
        lane = self._roster.lanes[work.clinic_id]
        self._free(work, lane)
        lane.breaker.said_nothing(probe=work.probe)
        work.verifying = True
        lane.waiting[work.rank] += 1
        self._roster.settle(lane, now)

    def faulted(self, work: Work) -> None:
        """A bug of ours hit this work; the clinic has nothing to do with it."""
        work.faults += 1

    def finished(self, work: Work, now: float, disposition: Disposition) -> None:
        """What was learnt is stored. The work leaves its lane or comes back, as ``disposition`` says.

        Without ``answered`` before, no call was made; only then, and not after ``verifying``, can it be ELSEWHERE: its
        slot goes on being taken.
        """
        lane = self._roster.lanes[work.clinic_id]
        lane.started.discard(work.booking_ref)
        if work.verifying:
            work.verifying = False
            lane.waiting[work.rank] -= 1
        if work.has_slot:
            self._free(work, lane)
            lane.breaker.said_nothing(probe=work.probe)
        if disposition.leaves:
            self._roster.finish_rings(work)
            work.taken = False
        work.rings, work.rung_again = work.rings + work.rung_again, []
        if not work.ours:
            self._roster.drop(work)
            if lane.sources and not disposition.leaves:
                lane.overflow.pass_over()  # its partition went and came back, and was filled up while this was known
        elif disposition.leaves:
            work.tries = work.faults = 0
            lane.put_back(work, now)
        elif disposition.action is Action.RETRY:
            lane.put_back(work, now + disposition.after_seconds)
        else:
            elsewhere = disposition.action is Action.ELSEWHERE
            lane.put_aside(work, now + disposition.after_seconds, elsewhere=elsewhere)
        self._roster.settle(lane, now)

    def wake_at(self) -> float | None:
        """When to ask ``next`` again if nothing happens until then."""
        return self._roster.agenda.wake_at()

    def stop(self) -> None:
        """Start nothing any more; what has started may still be answered and finished."""
        self._stopped = True

    # For others to see

    def declare(self, clinic_id: str, ceiling: int, now: float) -> None:
        """The clinic says what it can take; nothing happens if it has no lane."""
        if (lane := self._roster.lanes.get(clinic_id)) is not None:
            lane.limit.declare(ceiling)
            self._roster.settle(lane, now)

    def views(self, now: float) -> dict[str, LaneView]:
        """Every lane there is, by clinic."""
        waits = self._roster.agenda.waits_for_a_turn
        return {clinic_id: view_of(lane, now, for_worker=waits(lane)) for clinic_id, lane in self._roster.lanes.items()}

    def has(self, clinic_id: str) -> bool:
        """Whether this clinic has a lane."""
        return clinic_id in self._roster.lanes

    def is_down(self, clinic_id: str) -> bool:
        """Whether this clinic is taken to be down, by a lane that there is."""
        lane = self._roster.lanes.get(clinic_id)
        return lane is not None and lane.breaker.open

    def limit_of(self, clinic_id: str) -> Limit | None:
        """Of this clinic, if it has a lane."""
        lane = self._roster.lanes.get(clinic_id)
        return None if lane is None else lane.limit

    def limits(self) -> dict[str, Limit]:
        """Of every lane there is, by clinic."""
        return {clinic_id: lane.limit for clinic_id, lane in self._roster.lanes.items()}

    @property
    def started(self) -> int:
        """Works that hold a slot of the worker's budget."""
        return self._started

    def _free(self, work: Work, lane: Lane) -> None:
        work.has_slot = False
        lane.in_flight -= 1
        self._started -= 1
