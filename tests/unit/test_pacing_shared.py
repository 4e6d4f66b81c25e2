"""Lanes of clinics that share a partition, under any interleaving: a full or stuck one holds up nobody, and whatever
was passed over comes back from PostgreSQL in the order of the tickets.
"""

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
from workers.pacing.overflow import Refill
from workers.pacing.work import Rank, Ring, Verdict, Where, Work

Taken = tuple[list[tuple[str, Rank]], float | None]
"""What is due, in the order in which it goes; when the next comes due."""

P: Partition = ("normal", 0)
CLINICS = ("A", "B", "C")
LIMIT, LANE_MAX = 2, 3


@dataclass
class Database:
    """By clinic, the tickets of bookings with a call left to make; those that are not due yet."""

    held: dict[str, list[int]] = field(default_factory=lambda: {clinic: [] for clinic in CLINICS})
    parked: set[tuple[str, int]] = field(default_factory=set)
    due_at: dict[tuple[str, int], float] = field(default_factory=dict)
    """Of those that are to be tried again after a pause."""

    def take(self, refill: Refill, now: float) -> Taken:
        line = [(refill.clinic_id, ticket) for ticket in self.held[refill.clinic_id] if str(ticket) not in refill.known]
        waiting = [key for key in line if key not in self.parked]
        due = [key for key in waiting if self.due_at.get(key, now) <= now]
        later = min((self.due_at[key] for key in waiting if self.due_at.get(key, now) > now), default=None)
        bookings = [(str(ticket), Rank.NORMAL) for _, ticket in due[: refill.wanted]]
        return bookings, later if len(due) < refill.wanted else None


class SharedPacing(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.database = Database()
        self.log: list[tuple[str, int]] = []
        self.position = self.committed = 0
        self.tickets = dict.fromkeys(CLINICS, 0)
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        self.lanes = Lanes(
            calls_max=5,
            lane_max=LANE_MAX,
            gap_max=4,
            make_limit=lambda _: FixedLimit(LIMIT),
            make_breaker=lambda: Breaker(failures_to_open=2, first_open_seconds=1.0, longest_open_seconds=4.0),
            shared=lambda _: True,
        )
        self.running: list[Work] = []
        self.asked: list[Refill] = []
        self.found: list[tuple[Refill, Taken]] = []
        self.assign()

    def assign(self) -> None:
        self.lanes.assigned([P])
        self.position = self.committed
        for clinic, held in self.database.held.items():
            if held:
                self.lanes.adopt(clinic, P, self.now)
        self.pump()

    def pump(self) -> None:
        for work in self.lanes.next(self.now):
            for other in self.lanes._roster.works.values():
                waits = other.where is Where.WAITING and other.clinic_id == work.clinic_id
                assert not waits or other.turn > work.turn, "overtook a booking that waits in its place"
            self.running.append(work)
        self.asked += self.lanes.refills()

    @rule(clinic=st.sampled_from(CLINICS), times=st.integers(1, 5))
    def hold(self, clinic: str, times: int) -> None:
        """Held and rung for."""
        for _ in range(times):
            self.tickets[clinic] += 1
            self.database.held[clinic].append(self.tickets[clinic])
            self.log.append((clinic, self.tickets[clinic]))

    @rule(count=st.integers(1, 6))
    def read(self, count: int) -> None:
        for offset in range(self.position, min(self.position + count, len(self.log))):
            clinic, ticket = self.log[offset]
            self.lanes.offer(Ring(clinic, str(ticket), Rank.NORMAL, P, offset), self.now)
            self.position = offset + 1
        self.pump()

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def query(self, data: st.DataObject) -> None:
        """PostgreSQL answers as of now; the answer comes later."""
        refill = data.draw(st.sampled_from(self.asked))
        self.asked.remove(refill)
        self.found.append((refill, self.database.take(refill, self.now)))

    @precondition(lambda self: self.found)
    @rule(data=st.data(), fails=st.booleans())
    def refill(self, data: st.DataObject, fails: bool) -> None:
        refill, found = self.found.pop(data.draw(st.integers(0, len(self.found) - 1)))
        if fails:
            self.lanes.refill_failed(refill, self.now)
        else:
            self.refilled(refill, found)
        self.pump()

    def refilled(self, refill: Refill, found: Taken) -> None:
        bookings, later = found
        self.lanes.refilled(refill, bookings, self.now, more_at=later)

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        verdict=st.sampled_from([Verdict.ANSWERED, Verdict.FAILED, Verdict.OVERLOADED]),
        action=st.sampled_from([Action.RETRY, Action.ASIDE, Action.PARK]),
    )
    def answer(self, data: st.DataObject, verdict: Verdict, action: Action) -> None:
        work = data.draw(st.sampled_from(self.running))
        self.end(work, verdict, FINISHED if verdict is Verdict.ANSWERED else Disposition(action, 1.0))

    def end(self, work: Work, verdict: Verdict, disposition: Disposition) -> None:
        self.running.remove(work)
        self.lanes.answered(work, self.now, verdict, seconds=1.0)
        key = work.clinic_id, int(work.booking_ref)
        if disposition is FINISHED and key[1] in self.database.held[key[0]]:
            self.database.held[key[0]].remove(key[1])
        elif disposition.action is Action.PARK:
            self.database.parked.add(key)
        else:
            self.database.due_at[key] = self.now + disposition.after_seconds
        self.lanes.finished(work, self.now, disposition)
        self.pump()

    @rule()
    def parked_ones_come_due(self) -> None:
        """Sweep rings for them."""
        parked, self.database.parked = self.database.parked, set()
        self.log += sorted(key for key in parked if key[1] in self.database.held[key[0]])

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.pump()

    @rule()
    def commit(self) -> None:
        offsets = self.lanes.offsets.committable()
        self.committed = max(self.committed, offsets.get(P, 0))
        self.lanes.offsets.committed(offsets)

    @rule()
    def rebalance(self) -> None:
        """Away and back again; what is under way goes on."""
        self.lanes.revoked([P], self.now)
        assert not [work for work in self.lanes._roster.works.values() if work.where is not Where.STARTED]
        self.assign()

    @rule()
    def crash(self) -> None:
        self.restart()

    @invariant()
    def nobody_is_held_up(self) -> None:
        if hasattr(self, "lanes"):
            assert not self.lanes.pauses
            assert self.lanes.offsets.gap(P) == 0

    @invariant()
    def never_above_a_limit_and_memory_is_bounded(self) -> None:
        if not hasattr(self, "lanes"):
            return
        for lane in self.lanes._roster.lanes.values():
            assert lane.in_flight <= LIMIT
            # what waits, and what comes back to a full lane
            assert lane.waiting_all <= LANE_MAX + LIMIT + 5

    @invariant()
    def whatever_is_held_is_in_a_lane_or_will_be_asked_for(self) -> None:
        """All that was read and is due: lined up, under way, passed over in a lane that knows it, or being read."""
        if not hasattr(self, "lanes"):
            return
        unread = set(self.log[self.position :])
        for clinic, held in self.database.held.items():
            lane = self.lanes._roster.lanes.get(clinic)
            for ticket in held:
                key = clinic, ticket
                if key in unread or key in self.database.parked or (clinic, str(ticket)) in self.lanes._roster.works:
                    continue
                assert lane is not None
                overflow, due_at = lane.overflow, self.database.due_at.get(key, self.now)
                assert overflow.on or (overflow.again_at is not None and overflow.again_at <= due_at), key

    def teardown(self) -> None:
        if not hasattr(self, "lanes"):
            return
        for _ in range(500):
            if not any(self.database.held.values()):
                break
            self.parked_ones_come_due()
            self.read(len(self.log))
            for refill, found in self.found:
                self.refilled(refill, found)
            self.found.clear()
            for refill in list(self.asked):
                self.asked.remove(refill)
                self.refilled(refill, self.database.take(refill, self.now))
            self.pump()
            for work in list(self.running):
                self.end(work, Verdict.ANSWERED, FINISHED)
            self.now += 1.0
            self.pump()
        assert not any(self.database.held.values())
        self.read(len(self.log))
        for work in list(self.running):
            self.end(work, Verdict.ANSWERED, FINISHED)
        self.commit()
        assert self.committed == len(self.log) == self.position


SharedPacing.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestSharedPacing = SharedPacing.TestCase
