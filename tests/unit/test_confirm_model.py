"""One booking, one clinic, two workers that crash, freeze and come back, in every order hypothesis can think of; its
patient cancels it, or moves it to other times.

The clinic does what it was asked at any time within its processing limit, whether or not anybody still waits. What
must hold whatever happens: never two bookings at the clinic, none there that is nobody's, and none confirmed that is
not there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.one_booking import START, Call, Request, Row
from waiting_room.domain import appointment
from waiting_room.domain.appointment import By, ClinicState, EventType, Reason, State, Status
from waiting_room.domain.call_plan import plan
from waiting_room.domain.call_resolution import resolve
from waiting_room.domain.clinic_call import (
    BOOKS,
    Answer,
    Attempt,
    Booked,
    CallKind,
    ClinicSystem,
    Ending,
    Failed,
    NotThere,
    Withdrawn,
    needs_clinic,
)
from waiting_room.domain.directory import AdapterKind
from waiting_room.domain.failures import Failure

LEASE, DEADLINE, PROCESSING, SETTLE = 15.0, 10.0, 20.0, 21.0
SECONDS = st.sampled_from([0.0, 0.5, 2.0, 4.9, 6.0, 11.0, 16.0, 22.0])
WORKERS = st.sampled_from(["A", "B"])


class OneBooking(RuleBasedStateMachine):
    @initialize(idempotent=st.booleans(), lookup=st.booleans(), confirmed=st.booleans())
    def begin(self, idempotent: bool, lookup: bool, confirmed: bool) -> None:
        self.system = ClinicSystem("000A", AdapterKind.REST, "http://c", 4, SETTLE, idempotent, lookup)
        self.now = START
        self.row = Row()
        self.calls: dict[str, Call] = {}
        self.runs = {"A": 0, "B": 0}
        self.at_clinic: list[Request] = []
        self.made: list[int] = []
        """Revisions the clinic ever booked, oldest first."""
        self.there: dict[int, int] = {}
        """Bookings that stand there, by revision."""
        if confirmed:
            before = START - timedelta(seconds=30)
            self.row.state = State(Status.CONFIRMED, None, ClinicState.BOOKED)
            self.row.attempts = [Attempt(1, CallKind.CONFIRM, "A", before, START, before, Ending.BOOKED)]
            self.made, self.there = [1], {1: 1}

    def claimant(self, worker: str) -> str:
        return f"{worker}{self.runs[worker]}"

    @rule(worker=WORKERS)
    def claim_and_send(self, worker: str) -> None:
        if self.claim(worker):
            self.send(worker)

    @rule(worker=WORKERS)
    def claim_only(self, worker: str) -> None:
        self.claim(worker)

    def claim(self, worker: str) -> bool:
        if worker in self.calls:
            return False
        found = plan(self.row.case(), self.system, self.claimant(worker), self.now)
        if found.closes is not None:
            still_open = self.row.case().open
            assert still_open is not None
            self.row.end(still_open.attempt, self.now, found.closes)
        self.row.record(found.changes)
        if not isinstance(found.step, CallKind):
            return False
        number = len(self.row.attempts) + 1
        lease_until = self.now + timedelta(seconds=LEASE)
        revision = self.row.case().call_revision
        self.row.attempts.append(
            Attempt(number, found.step, self.claimant(worker), self.now, lease_until, revision=revision)
        )
        self.row.next_attempt_at = lease_until
        self.calls[worker] = Call(number, found.step, revision, self.now + timedelta(seconds=LEASE - DEADLINE))
        return True

    @precondition(lambda self: self.with_call(lambda call: call.sent is None and call.answer is None))
    @rule(data=st.data(), seen=st.booleans())
    def send_later(self, data: st.DataObject, seen: bool) -> None:
        """Or never: the claim was stored, but its worker does not know and will ask again."""
        worker = self.one_with(data, lambda call: call.sent is None and call.answer is None)
        if seen:
            self.send(worker)
        else:
            del self.calls[worker]

    def with_call(self, fits: Callable[[Call], bool]) -> list[str]:
        return sorted(worker for worker, call in self.calls.items() if fits(call))

    def one_with(self, data: st.DataObject, fits: Callable[[Call], bool]) -> str:
        return data.draw(st.sampled_from(self.with_call(fits)))

    def send(self, worker: str) -> None:
        call = self.calls[worker]
        if self.now > call.sendable_until:
            call.answer = Failed(Failure.NOT_SENT)
            return
        call.sent = Request(call.kind, call.revision, self.now + timedelta(seconds=PROCESSING))
        self.at_clinic.append(call.sent)

    @precondition(lambda self: self.with_call(lambda call: call.sent in self.at_clinic and call.answer is None))
    @rule(data=st.data(), failure=st.sampled_from([Failure.UNAVAILABLE, Failure.OVERLOADED, Failure.REFUSED]))
    def clinic_turns_away(self, data: st.DataObject, failure: Failure) -> None:
        call = self.calls[self.one_with(data, lambda call: call.sent in self.at_clinic and call.answer is None)]
        if failure is Failure.REFUSED and (call.kind not in BOOKS or call.revision in self.there):
            return
        assert call.sent is not None
        self.at_clinic.remove(call.sent)
        call.answer = Failed(failure)

    @precondition(lambda self: self.at_clinic)
    @rule(which=st.integers(0, 9))
    def clinic_carries_out(self, which: int) -> None:
        self.carry_out(self.at_clinic[which % len(self.at_clinic)])

    def carry_out(self, request: Request) -> None:
        self.at_clinic.remove(request)
        match request.kind:
            case CallKind.CONFIRM | CallKind.MOVE:
                request.answer = self.book(request.revision)
            case CallKind.LOOKUP if not self.system.has_lookup:
                request.answer = Failed(Failure.CANNOT_LOOK_UP)
            case CallKind.LOOKUP:
                shown = self.made[-1] if self.made else 0
                there = shown == request.revision and shown in self.there
                request.answer = Booked("x") if there else NotThere(final=shown >= request.revision)
            case CallKind.WITHDRAW:
                self.there = {each: count for each, count in self.there.items() if each > request.revision}
                request.answer = Withdrawn()

    def book(self, revision: int) -> Answer:
        """A newer revision takes the place of the older ones; an older one does not come back."""
        if revision in self.made and self.system.honours_idempotency:
            return Booked("x")
        if self.made and self.made[-1] > revision:
            return Failed(Failure.REFUSED)
        if revision not in self.made:
            self.made.append(revision)
        self.there = {revision: self.there.get(revision, 0) + 1}
        return Booked("x")

    @precondition(lambda self: self.with_call(lambda call: call.sent is not None))
    @rule(data=st.data(), gives_up=st.booleans(), again_seconds=SECONDS, commit_is_seen=st.booleans())
    def report(self, data: st.DataObject, gives_up: bool, again_seconds: float, commit_is_seen: bool) -> None:
        """With the answer if it has come, or without. A frozen worker may sit on it for as long as it likes."""
        worker = self.one_with(data, lambda call: call.sent is not None)
        call = self.calls[worker]
        if call.answer is None:
            call.answer = None if call.sent is None or gives_up else call.sent.answer
        if call.answer is None:
            unheard = Failure.UNAVAILABLE if call.kind is CallKind.LOOKUP else Failure.OUTCOME_UNKNOWN
            call.answer = Failed(unheard)
        self.settle(call.number, call.answer, again_seconds)
        if commit_is_seen:
            self.forget(worker)

    @precondition(lambda self: self.with_call(lambda call: call.sent is None and call.answer is not None))
    @rule(data=st.data())
    def report_unsent(self, data: st.DataObject) -> None:
        worker = self.one_with(data, lambda call: call.sent is None and call.answer is not None)
        call = self.calls[worker]
        assert call.answer is not None
        self.settle(call.number, call.answer, 0.0)
        self.forget(worker)

    def forget(self, worker: str) -> None:
        """The call is over for its worker, whose next claim has a name of its own."""
        self.calls.pop(worker, None)
        self.runs[worker] += 1

    def settle(self, number: int, answer: Answer, again_seconds: float) -> None:
        found = resolve(self.row.case(), number, answer, self.system, self.now, again_seconds)
        self.row.record(found.changes)
        if found.outcome is not None:
            self.row.end(number, self.now, found.outcome)
        if found.outcome is not None or found.changes:
            self.row.next_attempt_at = found.again_at

    @precondition(lambda self: self.calls)
    @rule(worker=WORKERS)
    def crash(self, worker: str) -> None:
        self.forget(worker)

    @precondition(lambda self: self.row.state.status in appointment.WANTS_SEAT)
    @rule()
    def cancel(self) -> None:
        self.row.state = appointment.apply(self.row.state, EventType.CANCELLED, reason=Reason.PATIENT, by=By.PATIENT)

    @precondition(lambda self: self.row.state.status in appointment.WANTS_SEAT and self.row.state.moving_to is None)
    @rule(seconds=st.sampled_from([5.0, 300.0]))
    def reschedule(self, seconds: float) -> None:
        self.row.reschedule(self.now + timedelta(seconds=seconds))

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for request in [each for each in self.at_clinic if each.until <= self.now]:
            self.carry_out(request)

    @invariant()
    def at_most_one_booking_at_the_clinic(self) -> None:
        assert sum(self.there.values()) <= 1

    @invariant()
    def a_freed_seat_is_nobodys(self) -> None:
        if not self.row.state.keeps_seat:
            assert not self.there
            assert not [each for each in self.at_clinic if each.kind in BOOKS and each.revision not in self.made]

    @invariant()
    def confirmed_means_booked(self) -> None:
        state = self.row.state
        if state.status is Status.CONFIRMED:
            assert len(self.there) == 1
        if state.clinic_state is ClinicState.BOOKED:
            assert list(self.there) == [state.revision]

    @invariant()
    def one_claim_at_a_time(self) -> None:
        assert len([each for each in self.row.attempts if each.ended_at is None]) <= 1

    @invariant()
    def what_can_be_neither_asked_nor_repeated_is_sent_once(self) -> None:
        if not self.system.has_lookup and not self.system.honours_idempotency:
            ambiguous = [each for each in self.row.attempts if each.outcome in ("outcome_unknown", "expired")]
            booking = [each.revision for each in ambiguous if each.kind in BOOKS]
            assert len(booking) == len(set(booking))

    def teardown(self) -> None:
        """With workers that work and a clinic that answers, everything comes to its end."""
        if not hasattr(self, "row"):
            return
        for worker in ("A", "B"):
            self.forget(worker)
        for _ in range(12):
            self.time_passes(60.0)
            if self.claim("A"):
                self.send("A")
                call = self.calls["A"]
                self.forget("A")
                for request in list(self.at_clinic):
                    self.carry_out(request)
                answer = call.sent.answer if call.sent is not None else call.answer
                assert answer is not None
                self.settle(call.number, answer, 0.0)
        assert not needs_clinic(self.row.state, self.system)
        self.a_freed_seat_is_nobodys()
        state = self.row.state
        if state.status is Status.CONFIRMED and state.clinic_state is ClinicState.UNKNOWN:
            assert not self.system.has_lookup, "only a person can find out"
            assert not self.system.honours_idempotency
        elif state.status is not Status.PENDING:
            assert state.clinic_state in (ClinicState.NONE, ClinicState.BOOKED)
            assert state.moving_to is None


OneBooking.TestCase.settings = settings(max_examples=600, stateful_step_count=30, deadline=None)
TestOneBooking = OneBooking.TestCase
