"""The state machine: whatever happens in whatever order, a booking is in a state that may be stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.appointment import (
    ASKED,
    DECIDED,
    WANTS_SEAT,
    By,
    ClinicState,
    EventType,
    IllegalTransition,
    Reason,
    Stage,
    State,
    Status,
    apply,
)

Happening = tuple[EventType, Reason | None, By | None]
happenings = st.lists(
    st.tuples(
        st.sampled_from(EventType),
        st.sampled_from([None, Reason.PATIENT, Reason.CLINIC_UNAVAILABLE]),
        st.sampled_from([None, By.PATIENT]),
    ),
    max_size=40,
)
BOOK = [EventType.ACCEPTED, EventType.HELD]
WAIT = [EventType.ACCEPTED, EventType.WAITLISTED]
BOOKED = [*BOOK, EventType.CALLING, EventType.CONFIRMED]
VISITED = (Status.ARRIVED, Status.COMPLETED, Status.NO_SHOW)


def replay(*events: EventType, reason: Reason | None = Reason.PATIENT) -> State:
    state: State | None = None
    for event in events:
        state = apply(state, event, reason=reason)
    assert state is not None
    return state


waits = happenings.map(lambda sequence: [(event, None, None) for event in WAIT] + sequence)


def may_be_stored(state: State) -> bool:
    """The CHECKs of the table appointments, as far as events decide them."""
    pending = state.status is Status.PENDING
    waits = state.status is Status.WAITLISTED
    return (
        (pending or waits) == (state.stage is not None)
        and waits == (state.stage in (Stage.WAITING, *ASKED))
        and (not waits or (state.clinic_state, state.moving_to) == (ClinicState.NONE, None))
        and (state.status in DECIDED) == state.decided != pending
        and (state.status in (Status.REJECTED, Status.CANCELLED)) == (state.reason is not None)
        and (not pending or state.clinic_state in (ClinicState.NONE, ClinicState.CALLING, ClinicState.UNKNOWN))
        and (state.status is not Status.CONFIRMED or state.clinic_state in (ClinicState.NONE, ClinicState.BOOKED))
        and (state.clinic_state is not ClinicState.WITHDRAWING or state.status not in WANTS_SEAT)
        and (state.status not in VISITED or state.clinic_state in (ClinicState.NONE, ClinicState.BOOKED))
        and state.revision >= 1
    )


@given(st.one_of(happenings, waits))
def test_any_sequence_is_refused_or_leaves_a_state_that_may_be_stored(sequence: list[Happening]) -> None:
    state: State | None = None
    for event, reason, by in sequence:
        before = state
        try:
            state = apply(state, event, reason=reason, by=by)
        except IllegalTransition:
            assert state == before
            continue
        assert may_be_stored(state)
        _check_step(before, event, state)


def _check_step(before: State | None, event: EventType, after: State) -> None:
    """What holds between two states, whatever they are."""
    if before is None:
        return
    if before.status is Status.WAITLISTED:
        _check_wait(before, event, after)
        return
    if before.decided:
        assert after.decided, "a decision is not taken back"
        if before.status not in (Status.CONFIRMED, Status.ARRIVED):
            assert (after.status, after.reason, after.by) == (before.status, before.reason, before.by)
    if not before.keeps_seat:
        assert not after.keeps_seat, "a seat that was freed may be somebody else's"
    if before.clinic_state is not ClinicState.NONE and after.clinic_state is ClinicState.NONE:
        assert event in (EventType.NOT_BOOKED, EventType.WITHDRAWN), "the clinic itself must have said so"
    if after.status in WANTS_SEAT:
        assert after.keeps_seat
    if not before.keeps_doses:
        assert not after.keeps_doses, "a dose that was given or freed does not come back"
    assert after.keeps_seat or not after.keeps_doses


def _check_wait(before: State, event: EventType, after: State) -> None:
    """Who waits has a seat only by an offer, and the time it is for only by a new revision."""
    if not before.keeps_seat:
        given = (EventType.OFFERED, EventType.OFFER_ACCEPTED)
        assert not after.keeps_seat or event in given, "nobody else's may be taken"
    if after.status is Status.PENDING:
        assert (before.stage in ASKED, after.revision) == (True, before.revision)
    elif after.status is Status.WAITLISTED:
        told = before.stage in ASKED, after.stage in ASKED
        assert (after.revision > before.revision) == (told[0] != told[1]), "each time that is told is told once"
    else:
        assert after.status in (Status.CANCELLED, Status.REJECTED)
        assert not after.keeps_seat


@pytest.mark.parametrize(
    ("events", "status", "stage", "clinic_state", "keeps_seat"),
    [
        ([EventType.ACCEPTED], Status.PENDING, Stage.ACCEPTED, ClinicState.NONE, True),
        (BOOK, Status.PENDING, Stage.HELD, ClinicState.NONE, True),
        ([*BOOK, EventType.CONFIRMED], Status.CONFIRMED, None, ClinicState.NONE, True),
        ([*BOOK, EventType.CALLING], Status.PENDING, Stage.CONFIRMING, ClinicState.CALLING, True),
        ([*BOOK, EventType.CALLING, EventType.CONFIRMED], Status.CONFIRMED, None, ClinicState.BOOKED, True),
        ([*BOOK, EventType.CALLING, EventType.NOT_BOOKED], Status.PENDING, Stage.HELD, ClinicState.NONE, True),
        (
            [*BOOK, EventType.CALLING, EventType.OUTCOME_UNKNOWN],
            Status.PENDING,
            Stage.CONFIRMING,
            ClinicState.UNKNOWN,
            True,
        ),
        ([*BOOK, EventType.REJECTED], Status.REJECTED, None, ClinicState.NONE, False),
        ([*BOOK, EventType.CANCELLED], Status.CANCELLED, None, ClinicState.NONE, False),
        ([*BOOKED, EventType.ARRIVED], Status.ARRIVED, None, ClinicState.BOOKED, True),
        ([*BOOKED, EventType.COMPLETED], Status.COMPLETED, None, ClinicState.BOOKED, True),
        ([*BOOKED, EventType.ARRIVED, EventType.COMPLETED], Status.COMPLETED, None, ClinicState.BOOKED, True),
        ([*BOOKED, EventType.NO_SHOW], Status.NO_SHOW, None, ClinicState.BOOKED, False),
        ([*BOOKED, EventType.ARRIVED, EventType.NO_SHOW], Status.NO_SHOW, None, ClinicState.BOOKED, False),
        ([*BOOKED, EventType.CANCEL_REFUSED], Status.CONFIRMED, None, ClinicState.BOOKED, True),
        ([EventType.CANCELLED], Status.CANCELLED, None, ClinicState.NONE, False),
        ([EventType.CANCELLED, EventType.REPEATED], Status.CANCELLED, None, ClinicState.NONE, False),
        ([*BOOK, EventType.CALLING, EventType.CANCELLED], Status.CANCELLED, None, ClinicState.CALLING, True),
        (
            [*BOOK, EventType.CALLING, EventType.CANCELLED, EventType.NOT_BOOKED],
            Status.CANCELLED,
            None,
            ClinicState.NONE,
            False,
        ),
        (
            [*BOOK, EventType.CALLING, EventType.CANCELLED, EventType.WITHDRAWAL_DUE],
            Status.CANCELLED,
            None,
            ClinicState.WITHDRAWING,
            True,
        ),
        (
            [*BOOK, EventType.CALLING, EventType.CONFIRMED, EventType.CANCELLED],
            Status.CANCELLED,
            None,
            ClinicState.WITHDRAWING,
            True,
        ),
        (WAIT, Status.WAITLISTED, Stage.WAITING, ClinicState.NONE, False),
        ([*WAIT, EventType.OFFERED], Status.WAITLISTED, Stage.OFFERED, ClinicState.NONE, True),
        ([*WAIT, EventType.INVITED], Status.WAITLISTED, Stage.INVITED, ClinicState.NONE, False),
        ([*WAIT, EventType.INVITED, EventType.OFFERED], Status.WAITLISTED, Stage.OFFERED, ClinicState.NONE, True),
        (
            [*WAIT, EventType.OFFERED, EventType.OFFER_DECLINED],
            Status.WAITLISTED,
            Stage.WAITING,
            ClinicState.NONE,
            False,
        ),
        ([*WAIT, EventType.INVITED, EventType.OFFER_LOST], Status.WAITLISTED, Stage.WAITING, ClinicState.NONE, False),
        ([*WAIT, EventType.OFFERED, EventType.OFFER_ACCEPTED], Status.PENDING, Stage.HELD, ClinicState.NONE, True),
        (
            [*WAIT, EventType.INVITED, EventType.OFFER_ACCEPTED, EventType.CONFIRMED],
            Status.CONFIRMED,
            None,
            ClinicState.NONE,
            True,
        ),
        ([*WAIT, EventType.OFFERED, EventType.CANCELLED], Status.CANCELLED, None, ClinicState.NONE, False),
        ([*WAIT, EventType.REJECTED], Status.REJECTED, None, ClinicState.NONE, False),
        (
            [*BOOK, EventType.CALLING, EventType.CONFIRMED, EventType.CANCELLED, EventType.WITHDRAWN],
            Status.CANCELLED,
            None,
            ClinicState.NONE,
            False,
        ),
    ],
    ids=lambda value: "-".join(event.rpartition(".")[2] for event in value) if isinstance(value, list) else None,
)
def test_the_ways_a_booking_goes(
    events: list[EventType], status: Status, stage: Stage | None, clinic_state: ClinicState, keeps_seat: bool
) -> None:
    state = replay(*events)
    assert (state.status, state.stage, state.clinic_state) == (status, stage, clinic_state)
    assert state.keeps_seat is keeps_seat


@pytest.mark.parametrize(
    ("events", "event"),
    [
        ([], EventType.HELD),
        ([], EventType.CONFIRMED),
        ([EventType.ACCEPTED], EventType.ACCEPTED),
        ([EventType.ACCEPTED], EventType.CALLING),
        ([EventType.ACCEPTED], EventType.CONFIRMED),
        ([*BOOK, EventType.CALLING], EventType.CALLING),
        ([*BOOK], EventType.WITHDRAWN),
        ([*BOOK, EventType.CONFIRMED], EventType.CONFIRMED),
        ([*BOOK, EventType.REJECTED], EventType.CANCELLED),
        ([*BOOK, EventType.CANCELLED], EventType.HELD),
        ([*BOOK, EventType.CALLING, EventType.CANCELLED], EventType.CONFIRMED),
        (BOOK, EventType.WAITLISTED),
        (BOOK, EventType.OFFERED),
        (WAIT, EventType.HELD),
        (WAIT, EventType.OFFER_ACCEPTED),
        ([*WAIT, EventType.OFFERED], EventType.OFFERED),
        ([*WAIT, EventType.OFFERED], EventType.CONFIRMED),
        ([*WAIT, EventType.OFFERED], EventType.REJECTED),
        ([*WAIT, EventType.OFFERED, EventType.OFFER_EXPIRED], EventType.OFFER_ACCEPTED),
    ],
)
def test_what_does_not_fit_is_refused(events: list[EventType], event: EventType) -> None:
    state = replay(*events) if events else None
    with pytest.raises(IllegalTransition, match=event):
        apply(state, event, reason=Reason.PATIENT)


@pytest.mark.parametrize("events", [[], BOOK], ids=["first", "held"])
def test_nothing_is_cancelled_without_a_reason(events: list[EventType]) -> None:
    with pytest.raises(IllegalTransition):
        apply(replay(*events) if events else None, EventType.CANCELLED)


def test_nothing_is_rejected_without_a_reason() -> None:
    with pytest.raises(IllegalTransition):
        apply(replay(*BOOK), EventType.REJECTED)
