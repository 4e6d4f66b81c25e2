"""What a clinic's answer, or the lack of one, means for a booking. Pure; decided under the clinic's lock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from waiting_room.domain import appointment
from waiting_room.domain.appointment import ClinicState, EventType, Reason, State, Status
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
    needs_clinic,
)
from waiting_room.domain.failures import CLINIC_DID_NOTHING, Failure


@dataclass(frozen=True, slots=True)
class Resolution:
    """``outcome`` ends the attempt, None if it had ended before. ``again_at`` None: no call is left to make."""

    changes: tuple[Change, ...]
    outcome: Ending | Failure | None
    again_at: datetime | None


def resolve(
    case: Case, number: int, answer: Answer, system: ClinicSystem, now: datetime, again_seconds: float
) -> Resolution:
    """What ``answer`` to attempt ``number`` means.

    What is left to do is due in ``again_seconds``, at once for a withdrawal this answer calls for, and not before it
    can bring anything. Raises KeyError if there is no such attempt.
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
        state = appointment.apply(state, change.event, reason=change.reason)
    return Resolution(tuple(changes), outcome, _again_at(case, state, answer, system, now, again_seconds))


_STATE_DURING = {
    CallKind.CONFIRM: ClinicState.CALLING,
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
    confirming = [each.attempt for each in case.attempts if each.kind is CallKind.CONFIRM]
    return definite and case.state.clinic_state is ClinicState.UNKNOWN and confirming[-1:] == [mine.attempt]


def _changes(case: Case, mine: Attempt, answer: Answer, proves_absence: bool) -> list[Change]:
    pending = case.state.status is Status.PENDING
    match mine.kind, answer:
        case CallKind.CONFIRM | CallKind.LOOKUP, Booked():
            return [Change(EventType.CONFIRMED if pending else EventType.WITHDRAWAL_DUE)]
        case CallKind.CONFIRM, Failed(failure=Failure.REFUSED, reason=reason):
            return _not_booked(reason if pending else None)
        case CallKind.CONFIRM, Failed(failure=failure) if failure in CLINIC_DID_NOTHING:
            hopeless = failure is Failure.UNPROCESSABLE and pending
            rejected = [Change(EventType.REJECTED, Reason.UNPROCESSABLE)] if hopeless else []
            return [Change(case.if_nothing_came_of(mine.attempt)), *rejected]
        case CallKind.CONFIRM, _:
            return [Change(EventType.OUTCOME_UNKNOWN)]
        case CallKind.LOOKUP, NotThere(final=True):
            return _not_booked(Reason.CLINIC_REFUSED if pending else None)
        case CallKind.LOOKUP, NotThere() if proves_absence:
            return _not_booked(None)
        case CallKind.WITHDRAW, Withdrawn():
            return [Change(EventType.WITHDRAWN)]
        case _:
            return []


def _not_booked(rejected_because: Reason | None) -> list[Change]:
    rejected = [] if rejected_because is None else [Change(EventType.REJECTED, rejected_because)]
    return [Change(EventType.NOT_BOOKED), *rejected]


def _again_at(
    case: Case, state: State, answer: Answer, system: ClinicSystem, now: datetime, again_seconds: float
) -> datetime | None:
    if not needs_clinic(state, system):
        return None
    if state.clinic_state is ClinicState.WITHDRAWING and case.state.clinic_state is not ClinicState.WITHDRAWING:
        return now
    again_at = now + timedelta(seconds=again_seconds)
    if state.clinic_state is not ClinicState.UNKNOWN:
        return again_at
    # Asking again (or, where nothing can be asked, acting) before it settles would bring nothing.
    settled_at = case.settled_at(system)
    wait_for_it = isinstance(answer, NotThere) or not system.has_lookup
    return max(again_at, settled_at) if wait_for_it and settled_at is not None else again_at
