"""Which call a booking needs next at its clinic, and from when. Pure; decided under the clinic's lock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from waiting_room.domain import appointment, saga
from waiting_room.domain.appointment import By, ClinicState, EventType, Reason, State, Status
from waiting_room.domain.clinic_call import BOOKS, Attempt, CallKind, Case, Change, ClinicSystem, Ending, needs_clinic
from waiting_room.domain.failures import Failure


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may be done before ``until``. ``elsewhere``: another worker's call is still leased. ``parked``: it waits
    for nothing that its clinic could do, and would be in the way of whoever does if it took a place in its line.
    """

    until: datetime
    elsewhere: bool = False
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Verify:
    """Its clinic is not to be called before it is known whether its patient may have the service."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``closes``: what the open attempt ends as. ``step`` None: no call is left to make."""

    changes: tuple[Change, ...] = ()
    step: CallKind | Verify | Wait | None = None
    closes: Ending | Failure | None = None


def plan(case: Case, system: ClinicSystem, claimant: str, now: datetime) -> Plan:
    """What to do for this booking now.

    ``claimant`` names the one who asks, who must not have a call under way for it. An attempt of its own that is
    still open was then never sent: the commit of the claim was not seen to succeed, and it is asked for again.
    """
    unfinished = case.open
    if unfinished is not None and unfinished.claimant != claimant and now < unfinished.lease_until:
        return Plan(step=Wait(unfinished.lease_until, elsewhere=True))
    closes = _closing(unfinished, claimant)
    never_sent = closes is Failure.NOT_SENT
    changes: list[Change] = []
    state = case.state

    def record(event: EventType, reason: Reason | None = None, by: By | None = None) -> None:
        nonlocal state
        state = appointment.apply(state, event, reason=reason, by=by)
        changes.append(Change(event, reason, by))

    if state.clinic_state is ClinicState.CALLING:
        record(case.if_nothing_came_of(unfinished.attempt) if unfinished and never_sent else EventType.OUTCOME_UNKNOWN)
    if state.status is Status.PENDING and case.hold_until is not None and now >= case.hold_until:
        record(EventType.REJECTED, saga.out_of_time(state))
    if state.moving_to is not None:
        if state.status is Status.PENDING and state.clinic_state is ClinicState.NONE:
            record(EventType.RESCHEDULED)
        elif state.clinic_state is ClinicState.BOOKED and case.move_until is not None and now >= case.move_until:
            for change in case.not_moved_because(Reason.CLINIC_UNAVAILABLE):
                record(change.event, change.reason, change.by)
    if never_sent:
        case = replace(case, next_attempt_at=None)  # it says when the lease of this very attempt ends
    step = _step(state, case, system, now)
    if step in BOOKS:
        record(EventType.CALLING)
    elif step is CallKind.WITHDRAW and state.clinic_state is ClinicState.UNKNOWN:
        record(EventType.WITHDRAWAL_DUE)
    return Plan(tuple(changes), step, closes)


def _closing(unfinished: Attempt | None, claimant: str) -> Ending | Failure | None:
    if unfinished is None:
        return None
    return Failure.NOT_SENT if unfinished.claimant == claimant else Ending.EXPIRED


def _step(state: State, case: Case, system: ClinicSystem, now: datetime) -> CallKind | Verify | Wait | None:
    verify = saga.step_of(state) is saga.ELIGIBILITY
    if not (verify or needs_clinic(state, system)):
        return None
    not_before = case.next_attempt_at
    if state.clinic_state is ClinicState.UNKNOWN and not system.has_lookup:
        # Nothing can be learnt: from when the clinic must be done, act on whatever it may hold.
        not_before = max(filter(None, (not_before, case.settled_at(system))), default=None)
    if not_before is not None and now < not_before:
        return Wait(not_before, parked=verify)
    if verify:
        return Verify()
    if state.clinic_state is ClinicState.UNKNOWN and system.has_lookup:
        return CallKind.LOOKUP
    if state.status is Status.PENDING:
        return CallKind.CONFIRM
    return CallKind.WITHDRAW if saga.to_withdraw(state) else CallKind.MOVE
