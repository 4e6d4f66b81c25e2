"""One confirm worker in virtual time: the product's lanes, and around them what its async code does, as events.

A worker that has crashed does nothing any more; what it had under way at clinics goes on there. A frozen one does
everything late: whatever is due for it waits until it is thawed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from loadtest.clinics.clinic import Clinic
from loadtest.clinics.course import Course, Fate
from loadtest.simulate.calls import ROUND_TRIP_SECONDS, Heard, act, heard_of
from loadtest.simulate.store import Granted, Later
from waiting_room.domain.clinic_call import Answer, CallKind, Failed
from waiting_room.domain.failures import Failure
from workers.pacing.adaptive import AdaptiveLimit
from workers.pacing.disposition import FINISHED, LONGEST_ASIDE_SECONDS, Action, Disposition, after_record, dispose
from workers.pacing.lanes import Lanes
from workers.pacing.offsets import Partition
from workers.pacing.pace import ClinicPace
from workers.pacing.work import Key, Rank, Ring, Verdict, Work

if TYPE_CHECKING:
    from loadtest.simulate.world import World

READ_AFTER_SECONDS, READ_AT_ONCE = 0.05, 500


class Worker:
    """``name`` is unique for this run of it, as its claims' names are."""

    def __init__(self, world: World, name: str, calls_max: int) -> None:
        self.name = name
        self.alive = True
        self.partitions: set[int] = set()
        self.calls_max = calls_max
        self._world = world
        self._frozen_until = 0.0
        self._generation = 0
        self.paces: dict[str, ClinicPace] = {}
        self._slot_taken: dict[Key, float] = {}
        self._unread: set[Partition] = set()
        self._claims = 0
        self._reads_at: float | None = None
        self._wakes_at: float | None = None
        self.lanes = Lanes(
            calls_max=calls_max,
            lane_max=world.lane_max,
            gap_max=2_000,
            make_limit=self._limit,
            shared=world.shared.__contains__,
        )

    # What happens to it

    def crash(self) -> None:
        self.alive = False

    def freeze(self, seconds: float) -> None:
        self._frozen_until = max(self._frozen_until, self._world.clock.now + seconds)

    @property
    def frozen(self) -> bool:
        return self._world.clock.now < self._frozen_until

    def assign(self, partitions: set[int]) -> None:
        """These and no others are ours. Everything is revoked first, as an eager rebalance does; a worker that was
        away for several rebalances learns of the last one.
        """
        self._generation += 1
        self.then(self._assign, partitions, self._generation)

    def _assign(self, partitions: set[int], generation: int) -> None:
        if generation != self._generation:
            return
        now = self._world.clock.now
        if self.partitions:
            self.commit()
            self.lanes.revoked([(topic, each) for each in self.partitions for topic in self._world.topics], now)
        self.partitions = set(partitions)
        assigned: list[Partition] = [(topic, each) for each in sorted(partitions) for topic in self._world.topics]
        self.lanes.assigned(assigned)
        for partition in assigned:
            self._world.logs[partition].position[self.name] = self._world.logs[partition].committed
        for clinic_id in self._world.lines_in(partitions):
            self.lanes.adopt(clinic_id, (self._world.topics[1], self._world.partition_of[clinic_id]), now)
        self._unread = set(assigned)
        self._look_soon()
        self.pump()

    def commit(self) -> None:
        """Unless another has them by now: the broker would refuse."""
        if not self.alive or self.frozen:
            return
        for partition, offset in self.lanes.offsets.committable().items():
            if self._world.owner_of(partition[1]) is self:
                self._world.logs[partition].committed = max(self._world.logs[partition].committed, offset)
                self.lanes.offsets.committed({partition: offset})

    # What it does

    def then(self, run: Callable[..., object], *args: Any) -> None:
        """Now, or as soon as it is thawed; never after a crash."""
        self.later(0.0, run, *args)

    def later(self, seconds: float, run: Callable[..., object], *args: Any) -> None:
        self._world.clock.after(seconds, self._run, run, args)

    def _run(self, run: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self.alive:
            return
        if self.frozen:
            self._world.clock.after(self._frozen_until - self._world.clock.now, self._run, run, args)
        else:
            run(*args)

    def news(self, partition: Partition) -> None:
        """There is something to read."""
        if partition[1] in self.partitions:
            self._unread.add(partition)
            self._look_soon()

    def _look_soon(self) -> None:
        at = self._world.clock.now + READ_AFTER_SECONDS
        if self._reads_at is None or self._reads_at > at:
            self._reads_at = at
            self.later(READ_AFTER_SECONDS, self._read)

    def _read(self) -> None:
        self._reads_at = None
        now, left = self._world.clock.now, READ_AT_ONCE
        for partition in sorted(self._unread - self.lanes.pauses):
            log = self._world.logs[partition]
            at = log.position[self.name]
            records = log.records[at : at + left]
            for offset, (clinic_id, ref) in enumerate(records, at):
                rank = Rank.PRIORITY if partition[0] == self._world.topics[0] else Rank.NORMAL
                self.lanes.offer(Ring(clinic_id, ref, rank, partition, offset), now)
            log.position[self.name] = at + len(records)
            left -= len(records)
            if at + len(records) == len(log.records):
                self._unread.discard(partition)
            if left <= 0:
                break
        self.pump()

    def pump(self) -> None:
        """Start what may start, fill what wants to be filled, and come back when a lane's time has come."""
        now = self._world.clock.now
        for work in self.lanes.next(now):
            self._world.observe_start(self, work)
            self._start(work)
        for refill in self.lanes.refills():
            self.later(ROUND_TRIP_SECONDS, self._refill, refill)
        if self._unread - self.lanes.pauses:
            self._look_soon()
        wake_at = self.lanes.wake_at()
        if wake_at is not None and (self._wakes_at is None or not now < self._wakes_at <= wake_at):
            self._wakes_at = wake_at
            self.later(wake_at - now, self.pump)

    def _refill(self, refill: Any) -> None:
        clock = self._world.clock
        found, more_in = self._world.store.take(
            refill.clinic_id, refill.known, refill.wanted, clock.at, soon_seconds=LONGEST_ASIDE_SECONDS
        )
        ranked = [(ref, Rank.PRIORITY if withdrawing else Rank.NORMAL) for ref, withdrawing in found]
        self.lanes.refilled(refill, ranked, clock.now, more_at=None if more_in is None else clock.now + more_in)
        self.pump()

    def _start(self, work: Work) -> None:
        send_by = self._world.clock.now + self._world.lease_seconds - self._world.call_seconds
        self._slot_taken[work.key] = self._world.clock.now
        self._claims += 1
        claimant = f"{self.name}/{self._claims}"
        self._world.clock.after(ROUND_TRIP_SECONDS / 2, self._claim, work, claimant, send_by)

    def _claim(self, work: Work, claimant: str, send_by: float) -> None:
        """In PostgreSQL: it is done whatever becomes of the worker meanwhile."""
        if not self.alive:
            return
        world = self._world
        claimed = world.store.claim(
            work.key, claimant, world.systems[work.clinic_id], world.lease_seconds, world.clock.now, world.clock.at
        )
        self.later(ROUND_TRIP_SECONDS / 2, self._claimed, work, claimed, send_by)

    def _claimed(self, work: Work, claimed: Granted | Later | None, send_by: float) -> None:
        match claimed:
            case None:
                self._finish(work, FINISHED)
            case Later(seconds=seconds, elsewhere=True):
                self._finish(work, Disposition(Action.ELSEWHERE, min(seconds, 2.0)))
            case Later(seconds=seconds):
                self._finish(work, Disposition(Action.PARK if seconds > 60.0 else Action.ASIDE, seconds))
            case Granted():
                if self._world.clock.now > send_by:
                    self._heard(work, claimed, Heard(Failed(Failure.NOT_SENT), Verdict.NOT_ASKED, 0.0))
                else:
                    self._call(work, claimed)

    def _call(self, work: Work, granted: Granted) -> None:
        world = self._world
        clinic, now = world.clinics[work.clinic_id], world.clock.now
        world.observe_call(self, work, granted)
        course = clinic.arrive(now)
        if granted.kind is not CallKind.CONFIRM and course.fate is Fate.OK:  # these cost a clinic little
            course = course._replace(after_seconds=ROUND_TRIP_SECONDS)
        seconds, heard = heard_of(course, world.call_seconds)
        if course.fate is Fate.HUNG:
            world.clock.after(world.call_seconds, lambda: clinic.leave(course, world.clock.now))
        elif course.admitted:
            world.clock.after(course.after_seconds, self._at_clinic, clinic, course, work, granted, heard)
        if heard is not None or seconds >= world.call_seconds:
            timed_out = Heard(Failed(Failure.OUTCOME_UNKNOWN), Verdict.FAILED, world.call_seconds)
            self.later(seconds, self._heard, work, granted, heard or timed_out)

    def _at_clinic(self, clinic: Clinic, course: Course, work: Work, granted: Granted, heard: Heard | None) -> None:
        """The clinic has done it, whether or not anybody still listens."""
        if course.after_seconds > 0:
            clinic.leave(course, self._world.clock.now)
        answer = act(clinic, course, work.booking_ref, granted.kind, self._world.clock.at)
        if heard is None and course.after_seconds < self._world.call_seconds and course.fate is not Fate.LATE:
            self.later(ROUND_TRIP_SECONDS / 2, self._heard, work, granted, answer)

    def _heard(self, work: Work, granted: Granted, heard: Heard) -> None:
        now = self._world.clock.now
        self._pace(work.clinic_id).called(now - self._slot_taken[work.key])
        self.lanes.answered(
            work,
            now,
            heard.verdict,
            seconds=heard.seconds if granted.kind is CallKind.CONFIRM else None,
            retry_after_seconds=heard.retry_after_seconds,
        )
        if self.lanes.is_down(work.clinic_id):
            self._pace(work.clinic_id).down(now)
        disposition = Disposition(Action.ASIDE)
        if isinstance(heard.answer, Failed):
            disposition = dispose(
                heard.answer.failure,
                granted.kind,
                tries=work.tries,
                faults=work.faults,
                attempt=granted.attempt,
                jitter=self._world.chance.random(),
                crowded=work.crowded,
                retry_after_seconds=heard.retry_after_seconds,
            )
        self._world.clock.after(ROUND_TRIP_SECONDS / 2, self._record, work, granted, heard.answer, disposition)
        self.pump()

    def _record(self, work: Work, granted: Granted, answer: Answer, disposition: Disposition) -> None:
        """In PostgreSQL."""
        if not self.alive:
            return
        world = self._world
        booking = world.store.bookings[work.key]
        undecided = booking.decided is None
        again = world.store.record(
            work.key, granted.attempt, answer, world.systems[work.clinic_id], disposition.after_seconds,
            world.clock.now, world.clock.at,
        )  # fmt: skip
        if undecided and booking.decided is not None and booking.first_call is not None:
            self._pace(work.clinic_id).decided(booking.decided - booking.first_call, world.clock.now)
        state = booking.state.clinic_state
        self.later(ROUND_TRIP_SECONDS / 2, self._finish, work, after_record(disposition, again, state))

    def _finish(self, work: Work, disposition: Disposition) -> None:
        if disposition.action is Action.PARK:
            self._world.store.park(work.key, self._world.clock.at + timedelta(seconds=disposition.after_seconds))
        self._slot_taken.pop(work.key, None)
        self.lanes.finished(work, self._world.clock.now, disposition)
        self.pump()

    def _pace(self, clinic_id: str) -> ClinicPace:
        return self.paces.setdefault(clinic_id, ClinicPace())

    def _limit(self, clinic_id: str) -> AdaptiveLimit:
        return AdaptiveLimit(self._world.systems[clinic_id].declared_concurrency, self._world.memory.get(clinic_id))
