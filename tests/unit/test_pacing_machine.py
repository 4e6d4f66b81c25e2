"""The lanes under any interleaving of reading, answers, time, revocation and crash, against the promises they make."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from workers.pacing.breaker import Breaker
from workers.pacing.disposition import FINISHED, Action, Disposition
from workers.pacing.lanes import Lanes
from workers.pacing.limit import FixedLimit
from workers.pacing.offsets import Partition
from workers.pacing.work import Key, Rank, Ring, Verdict, Where, Work

TOPICS = {"priority": Rank.PRIORITY, "normal": Rank.NORMAL}
HOME = {"A": 0, "B": 0, "C": 1}
LIMITS = {"A": 1, "B": 3, "C": 2}
PARTITIONS: list[Partition] = [(topic, number) for topic in TOPICS for number in (0, 1)]
LANE_MAX, GAP_MAX, READ_AT_ONCE = 4, 12, 5


@dataclass
class Log:
    """One partition as the broker has it, and how far we are."""

    records: list[Key] = field(default_factory=list)
    position: int = 0
    committed: int = 0
    rung_at: dict[int, int] = field(default_factory=dict)
    """By offset, the step at which it was offered last."""


class Pacing(RuleBasedStateMachine):
    @initialize(calls_max=st.integers(1, 6))
    def begin(self, calls_max: int) -> None:
        self.calls_max = calls_max
        self.logs = {partition: Log() for partition in PARTITIONS}
        self.ours: set[Partition] = set()
        self.now = 0.0
        self.step = 0
        self.served_at: dict[Key, int] = {}
        """When a booking was last looked at: the step at which a work of it that has finished had started."""
        self.restart()

    def restart(self) -> None:
        self.lanes = Lanes(
            calls_max=self.calls_max,
            lane_max=LANE_MAX,
            gap_max=GAP_MAX,
            make_limit=lambda clinic_id: FixedLimit(LIMITS[clinic_id]),
            make_breaker=lambda: Breaker(failures_to_open=1, first_open_seconds=1.0, longest_open_seconds=4.0),
        )
        self.running: list[Work] = []  # started, the call not over
        self.recording: list[Work] = []  # the call over, its outcome not stored
        self.started_at: dict[Key, int] = {}
        self.ours = set()
        self.assign(PARTITIONS)

    def assign(self, partitions: list[Partition]) -> None:
        self.lanes.assigned(partitions)
        self.ours.update(partitions)
        for partition in partitions:
            self.logs[partition].position = self.logs[partition].committed

    def pump(self) -> None:
        self.step += 1
        for work in self.lanes.next(self.now):
            self.check_order(work)
            self.started_at[work.key] = self.step
            self.running.append(work)

    def check_order(self, started: Work) -> None:
        for other in self.lanes._roster.works.values():
            if other.clinic_id == started.clinic_id and other.rank is started.rank and other.where is Where.WAITING:
                assert other.turn > started.turn, "overtook a booking that waits in its place"

    @rule(
        clinic=st.sampled_from(sorted(HOME)),
        booking=st.integers(0, 5),
        topic=st.sampled_from(sorted(TOPICS)),
        times=st.integers(1, 6),
    )
    def ring(self, clinic: str, booking: int, topic: str, times: int) -> None:
        log = self.logs[topic, HOME[clinic]]
        log.records.extend((clinic, f"{booking + each}") for each in range(times))

    @rule(partition=st.sampled_from(PARTITIONS), count=st.integers(1, READ_AT_ONCE))
    def read(self, partition: Partition, count: int) -> None:
        if partition in self.ours and partition not in self.lanes.pauses:
            self.take(partition, count)

    @rule()
    def read_all_there_is(self) -> None:
        for partition in sorted(self.ours - self.lanes.pauses):
            self.take(partition, READ_AT_ONCE)

    def take(self, partition: Partition, count: int) -> None:
        log = self.logs[partition]
        for offset in range(log.position, min(log.position + count, len(log.records))):
            self.step += 1
            clinic_id, booking_ref = log.records[offset]
            self.lanes.offer(Ring(clinic_id, booking_ref, TOPICS[partition[0]], partition, offset), self.now)
            log.rung_at[offset] = self.step
            log.position = offset + 1
        self.pump()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), verdict=st.sampled_from(Verdict))
    def answer(self, data: st.DataObject, verdict: Verdict) -> None:
        work = data.draw(st.sampled_from(self.running))
        self.running.remove(work)
        self.lanes.answered(work, self.now, verdict, seconds=1.0)
        self.recording.append(work)
        self.pump()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def verify(self, data: st.DataObject) -> None:
        """Its claim said that something is to be found out first."""
        work = data.draw(st.sampled_from(self.running))
        self.running.remove(work)
        self.lanes.verifying(work, self.now)
        self.recording.append(work)
        self.pump()

    @precondition(lambda self: self.running or self.recording)
    @rule(data=st.data(), action=st.sampled_from(Action), after=st.sampled_from([0.0, 0.5, 3.0]))
    def finish(self, data: st.DataObject, action: Action, after: float) -> None:
        work = data.draw(st.sampled_from(self.running + self.recording))
        if action is not Action.ELSEWHERE or work in self.running:  # a claim says so, before any call
            self.finish_one(work, Disposition(action, after))

    def finish_one(self, work: Work, disposition: Disposition) -> None:
        """Also of a work whose call was never made: its claim said that there is nothing to do, or not yet."""
        (self.running if work in self.running else self.recording).remove(work)
        self.lanes.finished(work, self.now, disposition)
        if disposition.leaves:
            self.served_at[work.key] = max(self.served_at.get(work.key, 0), self.started_at[work.key])
        self.pump()

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.pump()

    @rule()
    def until_the_alarm(self) -> None:
        at = self.lanes.wake_at()
        if at is not None:
            self.now = max(self.now, at)
            self.pump()

    @rule()
    def commit(self) -> None:
        offsets = self.lanes.offsets.committable()
        for partition, offset in offsets.items():
            log = self.logs[partition]
            assert partition in self.ours
            assert log.committed <= offset <= log.position
            for passed in range(log.committed, offset):
                assert self.served_at.get(log.records[passed], 0) > log.rung_at[passed], "committed, never looked at"
            log.committed = offset
        self.lanes.offsets.committed(offsets)

    @rule(keep=st.sampled_from([None, 0, 1]))
    def rebalance(self, keep: int | None) -> None:
        """Eager: everything is revoked, then some of it assigned again."""
        self.lanes.revoked(sorted(self.ours), self.now)
        self.ours.clear()
        self.pump()
        self.assign([each for each in PARTITIONS if keep in (None, each[1])])
        self.pump()

    @rule()
    def crash(self) -> None:
        self.restart()

    @invariant()
    def never_above_a_limit(self) -> None:
        if not hasattr(self, "lanes"):
            return
        assert self.lanes.started == len(self.running) <= self.calls_max
        for clinic_id, view in self.lanes.views(self.now).items():
            elsewhere = [w for w in self.works(clinic_id) if w.where is Where.ELSEWHERE]
            calling = [w for w in self.running if w.clinic_id == clinic_id]
            assert view.in_flight == len(elsewhere) + len(calling)
            assert len(calling) == 0 or view.in_flight <= LIMITS[clinic_id]

    def works(self, clinic_id: str) -> list[Work]:
        return [work for work in self.lanes._roster.works.values() if work.clinic_id == clinic_id]

    @invariant()
    def never_idle_while_work_and_capacity_exist(self) -> None:
        if not hasattr(self, "lanes") or self.lanes.started >= self.calls_max:
            return
        for clinic_id, lane in self.lanes._roster.lanes.items():
            if lane.in_flight >= LIMITS[clinic_id] or not lane.breaker.allows(self.now):
                continue
            for rank in Rank:
                line = [w for w in self.works(clinic_id) if w.rank is rank and w.where is not Where.STARTED]
                assert not [w for w in line if w.where is not Where.WAITING and w.not_before <= self.now]
                line = [w for w in line if w.where is Where.WAITING]
                assert not line or min(line, key=lambda w: w.turn).not_before > self.now

    @invariant()
    def a_clinic_that_is_down_is_tried_again(self) -> None:
        if not hasattr(self, "lanes"):
            return
        for clinic_id, lane in self.lanes._roster.lanes.items():
            if lane.breaker.open and lane.breaker.probe_at is None:
                assert [work for work in self.running if work.clinic_id == clinic_id and work.probe]

    @invariant()
    def an_alarm_is_set_for_what_waits_for_time(self) -> None:
        if not hasattr(self, "lanes") or self.lanes.started:
            return
        if [work for work in self.lanes._roster.works.values() if work.where is not Where.STARTED]:
            assert self.lanes.wake_at() is not None

    @invariant()
    def memory_is_bounded(self) -> None:
        if not hasattr(self, "lanes"):
            return
        for partition in self.ours:
            assert self.lanes.offsets.gap(partition) <= GAP_MAX + READ_AT_ONCE
        for lane in self.lanes._roster.lanes.values():
            for rank in Rank:
                # what had been read when it was full, what comes back, and what a ring has moved to another rank
                assert lane.waiting[rank] <= 2 * (LANE_MAX + READ_AT_ONCE) + LIMITS[lane.clinic_id]

    def teardown(self) -> None:
        """With clinics that answer, everything read is finished, in any case everything rung is looked at."""
        if not hasattr(self, "lanes"):
            return
        self.rebalance(None)
        for _ in range(2_000):
            all_read = all(log.position == len(log.records) for log in self.logs.values())
            if all_read and not self.running and not self.recording and self.lanes.wake_at() is None:
                break
            self.read_all_there_is()
            for work in list(self.running):
                self.running.remove(work)
                self.lanes.answered(work, self.now, Verdict.ANSWERED)
                self.recording.append(work)
            for work in list(self.recording):
                self.finish_one(work, FINISHED)
            self.until_the_alarm()
        self.commit()
        assert all(log.committed == len(log.records) for log in self.logs.values())
        assert not self.lanes.pauses
        assert not self.lanes._roster.works


Pacing.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestPacing = Pacing.TestCase
