"""What a booking needs from its clinic and what answers mean, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace as replace_state

from waiting_room.domain.appointment import By, ClinicState, EventType, Reason, Stage, State, Status
from waiting_room.domain.call_plan import Plan, Verify, Wait, plan
from waiting_room.domain.call_resolution import Resolution, resolve
from waiting_room.domain.clinic_call import (
    Answer,
    Attempt,
    Booked,
    CallKind,
    Case,
    Change,
    ClinicSystem,
    Ending,
    Failed,
    NotThere,
    Withdrawn,
)
from waiting_room.domain.directory import AdapterKind
from waiting_room.domain.failures import Failure

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
LEASE, SETTLE = timedelta(seconds=15), timedelta(seconds=30)
ABLE = ClinicSystem("000A", AdapterKind.REST, "http://c", 4, SETTLE.total_seconds(), True, True)
MUTE = replace(ABLE, has_lookup=False)
NEITHER = replace(ABLE, has_lookup=False, honours_idempotency=False)
BUILTIN = replace(ABLE, adapter=AdapterKind.BUILTIN, endpoint=None)

HELD = State(Status.PENDING, Stage.HELD)
VERIFYING = State(Status.PENDING, Stage.VERIFYING)
CALLING = State(Status.PENDING, Stage.CONFIRMING, ClinicState.CALLING)
UNKNOWN = State(Status.PENDING, Stage.CONFIRMING, ClinicState.UNKNOWN)
CONFIRMED = State(Status.CONFIRMED, None, ClinicState.BOOKED)


def cancelled(clinic_state: ClinicState) -> State:
    return State(Status.CANCELLED, None, clinic_state, Reason.PATIENT, By.PATIENT)


def attempt(
    number: int = 1,
    kind: CallKind = CallKind.CONFIRM,
    claimant: str = "other",
    ago: timedelta = timedelta(seconds=5),
    ended_ago: timedelta | None = None,
    outcome: str | None = None,
) -> Attempt:
    ended_at = None if ended_ago is None else NOW - ended_ago
    return Attempt(number, kind, claimant, NOW - ago, NOW - ago + LEASE, ended_at, outcome)


def case(
    state: State, *attempts: Attempt, hold_in: timedelta = timedelta(hours=1), next_in: timedelta | None = None
) -> Case:
    return Case(state, NOW + hold_in, None if next_in is None else NOW + next_in, attempts)


def planned(given: Case, system: ClinicSystem = ABLE) -> Plan:
    return plan(given, system, "me", NOW)


def resolved(given: Case, number: int, answer: Answer, system: ClinicSystem = ABLE) -> Resolution:
    return resolve(given, number, answer, system, NOW, 7.0)


def events(outcome: Plan | Resolution) -> list[EventType]:
    return [change.event for change in outcome.changes]


AMBIGUOUS = attempt(ended_ago=timedelta(seconds=1), outcome=Failure.OUTCOME_UNKNOWN)
AMBIGUOUS_LONG_AGO = attempt(ago=timedelta(minutes=2), ended_ago=timedelta(minutes=1), outcome=Failure.OUTCOME_UNKNOWN)


class TestPlan:
    def test_a_held_booking_is_called(self) -> None:
        assert planned(case(HELD)) == Plan((Change(EventType.CALLING),), CallKind.CONFIRM)

    @pytest.mark.parametrize(
        "state",
        [CONFIRMED, cancelled(ClinicState.NONE), State(Status.PENDING, Stage.ACCEPTED)],
        ids=["confirmed", "cancelled", "not held yet"],
    )
    def test_nothing_is_left_to_do(self, state: State) -> None:
        assert planned(case(state)) == Plan()

    def test_a_clinic_without_a_system_is_not_called(self) -> None:
        assert planned(case(HELD), BUILTIN) == Plan()

    def test_a_parked_booking_waits_for_its_time(self) -> None:
        assert planned(case(HELD, next_in=timedelta(seconds=9))).step == Wait(NOW + timedelta(seconds=9))
        assert planned(case(HELD, next_in=timedelta(seconds=-1))).step is CallKind.CONFIRM

    @pytest.mark.parametrize("system", [ABLE, BUILTIN], ids=["at a clinic", "at ours"])
    def test_what_is_to_be_verified_is_not_called(self, system: ClinicSystem) -> None:
        assert planned(case(VERIFYING), system) == Plan(step=Verify())
        waits = planned(case(VERIFYING, next_in=timedelta(seconds=9)), system)
        assert waits == Plan(step=Wait(NOW + timedelta(seconds=9), parked=True))
        over = planned(case(VERIFYING, hold_in=timedelta(0), next_in=timedelta(seconds=9)), system)
        assert over == Plan((Change(EventType.REJECTED, Reason.ELIGIBILITY_UNKNOWN),))

    def test_anothers_live_lease_is_waited_for_whatever_else(self) -> None:
        theirs = attempt()
        for state in (CALLING, cancelled(ClinicState.CALLING), UNKNOWN, cancelled(ClinicState.WITHDRAWING)):
            found = planned(case(state, theirs, hold_in=timedelta(0)))
            assert found == Plan(step=Wait(theirs.lease_until, elsewhere=True))

    def test_an_expired_lease_leaves_the_outcome_unknown(self) -> None:
        found = planned(case(CALLING, attempt(ago=timedelta(seconds=16))))
        assert found == Plan((Change(EventType.OUTCOME_UNKNOWN),), CallKind.LOOKUP, Ending.EXPIRED)

    def test_its_own_open_claim_was_never_sent(self) -> None:
        mine = attempt(claimant="me")
        found = planned(case(CALLING, mine, next_in=timedelta(seconds=10)))
        assert events(found) == [EventType.NOT_BOOKED, EventType.CALLING]
        assert (found.step, found.closes) == (CallKind.CONFIRM, Failure.NOT_SENT)
        assert planned(case(cancelled(ClinicState.CALLING), mine)) == Plan(
            (Change(EventType.NOT_BOOKED),), None, Failure.NOT_SENT
        )

    def test_an_unknown_outcome_is_looked_up(self) -> None:
        assert planned(case(UNKNOWN, AMBIGUOUS)) == Plan(step=CallKind.LOOKUP)
        assert planned(case(cancelled(ClinicState.UNKNOWN), AMBIGUOUS)) == Plan(step=CallKind.LOOKUP)

    def test_what_cannot_be_looked_up_is_sent_again_once_it_has_settled(self) -> None:
        assert planned(case(UNKNOWN, AMBIGUOUS), MUTE).step == Wait(NOW - timedelta(seconds=1) + SETTLE)
        found = planned(case(UNKNOWN, AMBIGUOUS_LONG_AGO), MUTE)
        assert found == Plan((Change(EventType.CALLING),), CallKind.CONFIRM)

    def test_what_can_be_neither_looked_up_nor_repeated_stays_unknown(self) -> None:
        assert planned(case(UNKNOWN, AMBIGUOUS_LONG_AGO), NEITHER) == Plan()

    @pytest.mark.parametrize("system", [MUTE, NEITHER], ids=["mute", "neither"])
    def test_what_cannot_be_looked_up_and_nobody_wants_is_withdrawn_once_settled(self, system: ClinicSystem) -> None:
        nobody_wants = cancelled(ClinicState.UNKNOWN)
        assert isinstance(planned(case(nobody_wants, AMBIGUOUS), system).step, Wait)
        found = planned(case(nobody_wants, AMBIGUOUS_LONG_AGO), system)
        assert found == Plan((Change(EventType.WITHDRAWAL_DUE),), CallKind.WITHDRAW)

    def test_the_deadline_rejects_and_what_the_clinic_may_hold_is_still_resolved(self) -> None:
        late = timedelta(seconds=-1)
        assert planned(case(HELD, hold_in=late)) == Plan((Change(EventType.REJECTED, Reason.CLINIC_UNAVAILABLE),))
        assert planned(case(UNKNOWN, AMBIGUOUS, hold_in=late)) == Plan(
            (Change(EventType.REJECTED, Reason.CLINIC_UNAVAILABLE),), CallKind.LOOKUP
        )
        expired = attempt(ago=timedelta(seconds=16))
        assert events(planned(case(CALLING, expired, hold_in=late))) == [
            EventType.OUTCOME_UNKNOWN,
            EventType.REJECTED,
        ]


class TestAnswers:
    def test_booked(self) -> None:
        assert resolved(case(CALLING, attempt()), 1, Booked("x")) == Resolution(
            (Change(EventType.CONFIRMED),), Ending.BOOKED, None
        )

    def test_a_slot_that_is_gone_is_given_up_for_the_next_one_where_others_would_do(self) -> None:
        gone = Failed(Failure.REFUSED, Reason.SLOT_TAKEN)
        flexible = replace(case(CALLING, attempt()), others_would_do=True)
        found = resolved(flexible, 1, gone)
        assert (events(found), found.next_slot) == ([EventType.NOT_BOOKED], True)
        assert found.again_at is not None
        assert found.again_at > NOW
        for given, answer in (
            (case(CALLING, attempt()), gone),
            (flexible, Failed(Failure.REFUSED, Reason.CLINIC_REFUSED)),
        ):
            assert events(resolved(given, 1, answer)) == [EventType.NOT_BOOKED, EventType.REJECTED]
        cancelled_meanwhile = replace(case(cancelled(ClinicState.CALLING), attempt()), others_would_do=True)
        assert not resolved(cancelled_meanwhile, 1, gone).next_slot

    def test_a_wish_for_another_time_is_taken_up_where_the_first_is_refused(self) -> None:
        wished = case(replace_state(CALLING, moving_to=2), attempt())
        refused = Failed(Failure.REFUSED)
        assert events(resolved(wished, 1, refused)) == [EventType.NOT_BOOKED, EventType.RESCHEDULED]

    def test_what_cannot_stay_and_does_not_move_is_cancelled(self) -> None:
        moving = replace_state(CONFIRMED, clinic_state=ClinicState.CALLING, moving_to=2)
        move = replace(attempt(kind=CallKind.MOVE), revision=2)
        stays = case(moving, move)
        assert events(resolved(stays, 1, Failed(Failure.REFUSED))) == [EventType.RESCHEDULE_FAILED]
        found = resolved(replace(stays, must_move=True), 1, Failed(Failure.REFUSED))
        assert events(found) == [EventType.RESCHEDULE_FAILED, EventType.CANCELLED]
        assert found.again_at == NOW, "it is withdrawn at once"

    def test_booked_for_somebody_who_cancelled_meanwhile_is_withdrawn_at_once(self) -> None:
        found = resolved(case(cancelled(ClinicState.CALLING), attempt()), 1, Booked("x"))
        assert (events(found), found.again_at) == ([EventType.WITHDRAWAL_DUE], NOW)

    def test_refused(self) -> None:
        no = Failed(Failure.REFUSED, Reason.SLOT_TAKEN)
        found = resolved(case(CALLING, attempt()), 1, no)
        assert found.changes == (Change(EventType.NOT_BOOKED), Change(EventType.REJECTED, Reason.SLOT_TAKEN))
        assert found.again_at is None
        assert events(resolved(case(cancelled(ClinicState.CALLING), attempt()), 1, no)) == [EventType.NOT_BOOKED]

    @pytest.mark.parametrize("failure", [Failure.UNAVAILABLE, Failure.OVERLOADED, Failure.NOT_SENT])
    def test_the_clinic_did_nothing(self, failure: Failure) -> None:
        found = resolved(case(CALLING, attempt()), 1, Failed(failure))
        assert found == Resolution((Change(EventType.NOT_BOOKED),), failure, NOW + timedelta(seconds=7))
        given_up = resolved(case(cancelled(ClinicState.CALLING), attempt()), 1, Failed(failure))
        assert (events(given_up), given_up.again_at) == ([EventType.NOT_BOOKED], None)

    def test_a_repeat_that_did_nothing_leaves_open_what_the_first_one_did(self) -> None:
        again = attempt(2)
        found = resolved(case(CALLING, AMBIGUOUS_LONG_AGO, again), 2, Failed(Failure.UNAVAILABLE), MUTE)
        assert events(found) == [EventType.OUTCOME_UNKNOWN]
        not_there = attempt(2, CallKind.LOOKUP, ended_ago=timedelta(seconds=6), outcome=Ending.NOT_THERE)
        found = resolved(case(CALLING, AMBIGUOUS_LONG_AGO, not_there, attempt(3)), 3, Failed(Failure.UNAVAILABLE))
        assert events(found) == [EventType.NOT_BOOKED]

    def test_an_unknown_outcome_is_asked_about_soon_or_acted_on_when_settled(self) -> None:
        unknown = Failed(Failure.OUTCOME_UNKNOWN)
        found = resolved(case(CALLING, attempt()), 1, unknown)
        assert (events(found), found.again_at) == ([EventType.OUTCOME_UNKNOWN], NOW + timedelta(seconds=7))
        assert resolved(case(CALLING, attempt()), 1, unknown, MUTE).again_at == NOW + SETTLE
        assert resolved(case(CALLING, attempt()), 1, unknown, NEITHER).again_at is None

    def test_unprocessable_is_rejected(self) -> None:
        found = resolved(case(CALLING, attempt()), 1, Failed(Failure.UNPROCESSABLE))
        assert found.changes == (Change(EventType.NOT_BOOKED), Change(EventType.REJECTED, Reason.UNPROCESSABLE))


class TestLookUps:
    def asked(self, first: Attempt, state: State = UNKNOWN) -> Case:
        return case(state, first, attempt(2, CallKind.LOOKUP, ago=timedelta(seconds=1)))

    def test_found(self) -> None:
        assert events(resolved(self.asked(AMBIGUOUS), 2, Booked("x"))) == [EventType.CONFIRMED]
        found = resolved(self.asked(AMBIGUOUS, cancelled(ClinicState.UNKNOWN)), 2, Booked("x"))
        assert (events(found), found.again_at) == ([EventType.WITHDRAWAL_DUE], NOW)

    def test_not_there_before_it_settled_means_nothing_yet(self) -> None:
        found = resolved(self.asked(AMBIGUOUS), 2, NotThere())
        assert found == Resolution((), Ending.NOT_THERE_YET, NOW - timedelta(seconds=1) + SETTLE)

    def test_what_counts_is_when_it_was_asked(self) -> None:
        settles_now = attempt(ago=LEASE, ended_ago=SETTLE, outcome=Failure.OUTCOME_UNKNOWN)
        assert resolved(self.asked(settles_now), 2, NotThere()).outcome is Ending.NOT_THERE_YET

    def test_not_there_after_it_settled(self) -> None:
        found = resolved(self.asked(AMBIGUOUS_LONG_AGO), 2, NotThere())
        assert (events(found), found.outcome) == ([EventType.NOT_BOOKED], Ending.NOT_THERE)
        assert found.again_at == NOW + timedelta(seconds=7)
        gone = resolved(self.asked(AMBIGUOUS_LONG_AGO, cancelled(ClinicState.UNKNOWN)), 2, NotThere())
        assert (events(gone), gone.again_at) == ([EventType.NOT_BOOKED], None)

    def test_what_the_clinic_took_back_itself_is_refused(self) -> None:
        found = resolved(self.asked(AMBIGUOUS), 2, NotThere(final=True))
        assert found.changes == (Change(EventType.NOT_BOOKED), Change(EventType.REJECTED, Reason.CLINIC_REFUSED))

    def test_no_answer_changes_nothing(self) -> None:
        found = resolved(self.asked(AMBIGUOUS), 2, Failed(Failure.UNAVAILABLE))
        assert found == Resolution((), Failure.UNAVAILABLE, NOW + timedelta(seconds=7))


class TestWithdrawals:
    def test_acknowledged_or_not(self) -> None:
        given = case(cancelled(ClinicState.WITHDRAWING), attempt(2, CallKind.WITHDRAW))
        assert resolved(given, 2, Withdrawn()) == Resolution((Change(EventType.WITHDRAWN),), Ending.WITHDRAWN, None)
        for failure in (Failure.OUTCOME_UNKNOWN, Failure.REFUSED, Failure.UNAVAILABLE):
            assert resolved(given, 2, Failed(failure)) == Resolution((), failure, NOW + timedelta(seconds=7))


class TestLateAnswers:
    """The lease was taken over: the attempt ended as expired and the state went on without it."""

    expired = attempt(ago=timedelta(minutes=1), ended_ago=timedelta(seconds=40), outcome=Ending.EXPIRED)

    def test_positive_knowledge_resolves_what_is_unknown(self) -> None:
        assert resolved(case(UNKNOWN, self.expired), 1, Booked("x"), NEITHER) == Resolution(
            (Change(EventType.CONFIRMED),), None, None
        )
        assert events(resolved(case(UNKNOWN, self.expired), 1, Failed(Failure.REFUSED))) == [
            EventType.NOT_BOOKED,
            EventType.REJECTED,
        ]
        gone = resolved(case(cancelled(ClinicState.UNKNOWN), self.expired), 1, Booked("x"))
        assert (events(gone), gone.again_at) == ([EventType.WITHDRAWAL_DUE], NOW)

    def test_everything_else_is_too_late(self) -> None:
        for failure in (Failure.UNAVAILABLE, Failure.NOT_SENT, Failure.OUTCOME_UNKNOWN):
            assert resolved(case(UNKNOWN, self.expired), 1, Failed(failure)).changes == ()
        second = attempt(2)
        assert resolved(case(CALLING, self.expired, second), 1, Booked("x")).changes == ()
        assert resolved(case(CONFIRMED, self.expired), 1, Booked("x")) == Resolution((), None, None)

    def test_only_the_last_confirming_call_can_know(self) -> None:
        second = attempt(2, ago=timedelta(seconds=30), ended_ago=timedelta(seconds=20), outcome=Ending.EXPIRED)
        assert resolved(case(UNKNOWN, self.expired, second), 1, Failed(Failure.REFUSED), MUTE).changes == ()

    def test_a_look_up_that_was_overtaken_just_ends(self) -> None:
        look_up = attempt(2, CallKind.LOOKUP)
        found = resolved(case(CONFIRMED, self.expired, look_up), 2, Booked("x"))
        assert found == Resolution((), Ending.BOOKED, None)
