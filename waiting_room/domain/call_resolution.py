"""What a clinic's answer, or the lack of one, means for a booking. Pure; decided under the clinic's lock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from waiting_room.domain import appointment
from waiting_room.domain.appointment import By, ClinicState, EventType, Reason, State, Status
from waiting_room.domain.clinic_call import (
    BOOKS,
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
    needs_clinic,
)
from waiting_room.domain.failures import CLINIC_DID_NOTHING, Failure


@dataclass(frozen=True, slots=True)
class Resolution:
    """``outcome`` ends the attempt, None if it had ended before. ``again_at`` None: no call is left to make."""

    changes: tuple[Change, ...]
    outcome: Ending | Failure | None
    again_at: datetime | None
    next_slot: bool = False
    """Whether the clinic says that this slot is gone, and the next one that fits is to be tried."""


NEXT_SLOT_WITHIN = timedelta(seconds=30)
"""From the clinic's no until the booking has been given another slot, or is asked for here once more."""


def resolve(
    case: Case, number: int, answer: Answer, system: ClinicSystem, now: datetime, again_seconds: float
) -> Resolution:
    """What ``answer`` to attempt ``number`` means.

    What is left to do is due in ``again_seconds``, at once for a withdrawal or a move this answer calls for, and not
    before it can bring anything. Raises KeyError if there is no such attempt.
    """
    mine = {each.attempt: each for each in case.attempts}[number]
    outcome = None
    changes: list[Change] = []
    if mine.ended_at is None:
        settled_at = case.settled_at(system)
        proves_absence = settled_at is None or mine.claimed_at >= settled_at
        outcome = _ending(answer, proves_absence)
        if case.state.clinic_state is _STATE_DURING[mine.kind]:
            changes = _changes(case, mine, answer, proves_absence)
        ended = replace(mine, ended_at=now, outcome=outcome)
        case = replace(case, attempts=tuple(ended if each is mine else each for each in case.attempts))
    elif _resolves_late(case, mine, answer):
        changes = _changes(case, mine, answer, proves_absence=False)
    state = case.state
    for change in changes:
        state = appointment.apply(state, change.event, reason=change.reason, by=change.by)
    if _tries_next(case, answer) and changes == [Change(EventType.NOT_BOOKED)]:
        return Resolution(tuple(changes), outcome, now + NEXT_SLOT_WITHIN, next_slot=True)
    return Resolution(tuple(changes), outcome, _again_at(case, state, answer, system, now, again_seconds))


_STATE_DURING = {
    CallKind.CONFIRM: ClinicState.CALLING,
    CallKind.MOVE: ClinicState.CALLING,
    CallKind.LOOKUP: ClinicState.UNKNOWN,
    CallKind.WITHDRAW: ClinicState.WITHDRAWING,
}


def _ending(answer: Answer, proves_absence: bool) -> Ending | Failure:
    match answer:
        case Booked():
            return Ending.BOOKED
        case Withdrawn():
            return Ending.WITHDRAWN
        case NotThere(final=final):
            return Ending.NOT_THERE if final or proves_absence else Ending.NOT_THERE_YET
        case Failed(failure=failure):
            return failure


def _resolves_late(case: Case, mine: Attempt, answer: Answer) -> bool:
    definite = isinstance(answer, Booked) or (isinstance(answer, Failed) and answer.failure is Failure.REFUSED)
    booking = [each.attempt for each in case.attempts if each.kind in BOOKS]
    return definite and case.state.clinic_state is ClinicState.UNKNOWN and booking[-1:] == [mine.attempt]


def _changes(case: Case, mine: Attempt, answer: Answer, proves_absence: bool) -> list[Change]:
    pending = case.state.status is Status.PENDING
    if case.state.moving_to is not None and not pending and mine.kind is not CallKind.WITHDRAW:
        return _moving_changes(case, mine, answer, proves_absence)
    match mine.kind, answer:
        case CallKind.CONFIRM | CallKind.LOOKUP, Booked():
            return [Change(EventType.CONFIRMED if pending else EventType.WITHDRAWAL_DUE)]
        case CallKind.CONFIRM, Failed(failure=Failure.REFUSED, reason=reason):
            return _not_booked(case, reason)
        case CallKind.CONFIRM, Failed(failure=failure) if failure in CLINIC_DID_NOTHING:
            hopeless = failure is Failure.UNPROCESSABLE and pending
            rejected = [Change(EventType.REJECTED, Reason.UNPROCESSABLE)] if hopeless else []
            return [Change(case.if_nothing_came_of(mine.attempt)), *rejected]
        case CallKind.CONFIRM, _:
            return [Change(EventType.OUTCOME_UNKNOWN)]
        case CallKind.LOOKUP, NotThere(final=True):
            return _not_booked(case, Reason.CLINIC_REFUSED)
        case CallKind.LOOKUP, NotThere() if proves_absence:
            return [Change(EventType.NOT_BOOKED)]
        case CallKind.WITHDRAW, Withdrawn():
            return [Change(EventType.WITHDRAWN)]
        case _:
            return []


def _moving_changes(case: Case, mine: Attempt, answer: Answer, proves_absence: bool) -> list[Change]:
    """As for a booking that the clinic does not have yet, but that it has it at its old time in any case."""
    confirmed = case.state.status is Status.CONFIRMED
    match mine.kind, answer:
        case _, Booked():
            return [Change(EventType.RESCHEDULED if confirmed else EventType.WITHDRAWAL_DUE)]
        case CallKind.MOVE, Failed(failure=Failure.REFUSED, reason=reason):
            return case.not_moved_because(reason) if confirmed else [Change(EventType.WITHDRAWAL_DUE)]
        case CallKind.MOVE, Failed(failure=failure) if failure in CLINIC_DID_NOTHING:
            hopeless = failure is Failure.UNPROCESSABLE and confirmed
            failed = case.not_moved_because(Reason.UNPROCESSABLE) if hopeless else []
            return [Change(case.if_nothing_came_of(mine.attempt)), *failed]
        case CallKind.MOVE, _:
            return [Change(EventType.OUTCOME_UNKNOWN)]
        case CallKind.LOOKUP, NotThere(final=True):
            cancelled = [Change(EventType.CANCELLED, Reason.PROVIDER, By.CLINIC)] if confirmed else []
            return [*cancelled, Change(EventType.NOT_BOOKED)]
        case CallKind.LOOKUP, NotThere() if proves_absence:
            return [Change(case.if_not_done)]
        case _:
            return []


def _not_booked(case: Case, because: Reason) -> list[Change]:
    """The clinic has said no: to the time it was asked for, not to the one that its patient wants by now."""
    if case.state.status is not Status.PENDING:
        return [Change(EventType.NOT_BOOKED)]
    moving = case.state.moving_to is not None
    if not moving and because is Reason.SLOT_TAKEN and case.others_would_do:
        return [Change(EventType.NOT_BOOKED)]
    return [
        Change(EventType.NOT_BOOKED),
        Change(EventType.RESCHEDULED) if moving else Change(EventType.REJECTED, because),
    ]


def _again_at(
    case: Case, state: State, answer: Answer, system: ClinicSystem, now: datetime, again_seconds: float
) -> datetime | None:
    if not needs_clinic(state, system):
        return None
    if state.clinic_state is ClinicState.WITHDRAWING and case.state.clinic_state is not ClinicState.WITHDRAWING:
        return now
    if state.clinic_state is ClinicState.BOOKED and case.state.status is Status.PENDING:
        return now  # it was asked to be moved while it was confirmed
    again_at = now + timedelta(seconds=again_seconds)
    if state.clinic_state is not ClinicState.UNKNOWN:
        return again_at
    # Asking again (or, where nothing can be asked, acting) before it settles would bring nothing.
    settled_at = case.settled_at(system)
    wait_for_it = isinstance(answer, NotThere) or not system.has_lookup
    return max(again_at, settled_at) if wait_for_it and settled_at is not None else again_at


def _tries_next(case: Case, answer: Answer) -> bool:
    gone = isinstance(answer, Failed) and (answer.failure, answer.reason) == (Failure.REFUSED, Reason.SLOT_TAKEN)
    return gone and case.others_would_do and case.state.status is Status.PENDING
