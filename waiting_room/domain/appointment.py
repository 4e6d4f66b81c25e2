"""What may happen to a booking: one pure state machine, used before every write and to replay a history.

``status`` is what the patient sees (FHIR R4 Appointment.status, see DESIGN 'Words'), ``clinic_state`` what the
clinic may know and therefore what must still be undone there. An event that the state does not allow is refused
here, before any row is touched.

    none ──calling──▶ calling ──confirmed──▶ booked ──(cancelled)──▶ withdrawing ──withdrawn──▶ none
      ▲                 │  └──outcome_unknown──▶ unknown ──(found: confirmed; not there: not_booked)
      └───not_booked────┘

A confirmed patient arrives and is seen (completed), or does not come (no_show): all three are the clinic's to say, the
last two also time's. They undo nothing there: ``clinic_state`` stays as it is.

A booking that is to be moved keeps what it has until the clinic has accepted the new time: ``moving_to`` is the
revision it then gets. A confirmed one is called for again, from booked, and goes back there whatever is answered:
rescheduled, not_moved (asked again) or reschedule_failed (given up).

Where no seat is free a booking may wait for one. It is offered a seat, which is held for it, or invited to one that
is held for the first of several; it accepts and goes on as held, or goes on waiting. Each time that a time is offered,
and that it is no longer, makes a new revision.

    accepted ──waitlisted──▶ waiting ──offered, invited──▶ offered, invited ──accepted──▶ held
                                ▲──────── declined, expired, lost ──────┘
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from waiting_room.domain.vocabulary import By as By
from waiting_room.domain.vocabulary import ClinicState as ClinicState
from waiting_room.domain.vocabulary import EventType as EventType
from waiting_room.domain.vocabulary import Reason as Reason
from waiting_room.domain.vocabulary import Stage as Stage
from waiting_room.domain.vocabulary import Status as Status

PUBLIC_EVENTS = frozenset(
    {
        EventType.ACCEPTED,
        EventType.HELD,
        EventType.CONFIRMED,
        EventType.REJECTED,
        EventType.CANCELLED,
        EventType.CANCEL_REFUSED,
        EventType.ARRIVED,
        EventType.COMPLETED,
        EventType.NO_SHOW,
        EventType.RESCHEDULED,
        EventType.RESCHEDULE_FAILED,
        EventType.RESCHEDULE_REFUSED,
        EventType.WAITLISTED,
        EventType.OFFERED,
        EventType.INVITED,
        EventType.OFFER_ACCEPTED,
        EventType.OFFER_DECLINED,
        EventType.OFFER_EXPIRED,
        EventType.OFFER_LOST,
    }
)
OF_THE_WISH = frozenset({EventType.RESCHEDULED, EventType.RESCHEDULE_FAILED, EventType.RESCHEDULE_REFUSED})
"""Events with the ``by`` and the ``reason`` of a wish for another time, not with the booking's own."""

DECIDED = frozenset(Status) - {Status.PENDING}
CHANGEABLE = frozenset({Status.PENDING, Status.CONFIRMED})
"""These may be cancelled or moved."""
CANCELLABLE = CHANGEABLE | {Status.WAITLISTED}
ASKED = frozenset({Stage.OFFERED, Stage.INVITED})
"""Who waits and has been asked whether a seat will do."""
HONOURED = frozenset({Status.CONFIRMED, Status.ARRIVED, Status.COMPLETED, Status.NO_SHOW})
"""What the clinic's own record holds, whoever came of it."""
WANTS_SEAT = frozenset({Status.PENDING, Status.CONFIRMED, Status.ARRIVED, Status.COMPLETED})


class IllegalTransition(Exception):
    """The event does not fit the state; nothing may be written."""


class State(msgspec.Struct, frozen=True, gc=False):
    """The part of a booking that events change. A booking that does not exist yet is ``None``."""

    status: Status
    stage: Stage | None
    clinic_state: ClinicState = ClinicState.NONE
    reason: Reason | None = None
    by: By | None = None
    revision: int = 1
    moving_to: int | None = None
    """The revision it gets when its clinic has accepted the time it is to be moved to; that seat is claimed too."""

    @property
    def decided(self) -> bool:
        return self.status in DECIDED

    @property
    def keeps_seat(self) -> bool:
        """A claim lives until nobody can still rely on it (DESIGN, 'Undo'). Nobody does on that of a patient who did
        not come, though the clinic goes on having the booking in its record.
        """
        if self.status is Status.NO_SHOW:
            return False
        if self.status is Status.WAITLISTED:
            return self.stage is Stage.OFFERED
        return self.status in WANTS_SEAT or self.clinic_state is not ClinicState.NONE

    @property
    def keeps_doses(self) -> bool:
        """As long as the seat, or until they are used."""
        return self.keeps_seat and self.status is not Status.COMPLETED

    @property
    def newest_revision(self) -> int:
        """The highest that its clinic may know of."""
        return self.moving_to or self.revision


def apply(
    state: State | None,
    event: EventType,
    *,
    reason: Reason | None = None,
    by: By | None = None,
    revision: int | None = None,
) -> State:
    """The state after ``event``. Raises IllegalTransition.

    ``reason`` goes with REJECTED, CANCELLED, RESCHEDULE_FAILED and RESCHEDULE_REFUSED, ``by`` with CANCELLED and
    NO_SHOW, and ``revision``, the one that the new time has, with RESCHEDULE_HELD.
    """
    if state is None:
        return _first(event, reason, by)
    after = _next(state, event, reason, by)
    if after is None:
        after = _waited(state, event)
    if after is None:
        after = _moved(state, event, reason, revision)
    if after is None:
        raise IllegalTransition(
            f"{event} does not fit {state.status}/{state.stage or '-'}, clinic {state.clinic_state}"
        )
    return after


def _first(event: EventType, reason: Reason | None, by: By | None) -> State:
    if event is EventType.ACCEPTED:
        return State(Status.PENDING, Stage.ACCEPTED)
    if event is EventType.CANCELLED and reason is not None:  # the cancel overtook the booking, or that never came
        return State(Status.CANCELLED, None, reason=reason, by=by)
    raise IllegalTransition(f"{event} cannot be a booking's first event")


def _next(state: State, event: EventType, reason: Reason | None, by: By | None) -> State | None:
    pending = state.status is Status.PENDING
    match event:
        case EventType.REPEATED:
            return state
        case EventType.HELD if pending and state.stage is Stage.ACCEPTED:
            return replace(state, stage=Stage.HELD)
        case EventType.VERIFYING if state.stage is Stage.HELD:
            return replace(state, stage=Stage.VERIFYING)
        case EventType.VERIFIED | EventType.NOT_VERIFIED if state.stage is Stage.VERIFYING:
            return replace(state, stage=Stage.HELD)
        case EventType.CALLING if _waits_for_clinic(state):
            return replace(state, stage=Stage.CONFIRMING, clinic_state=ClinicState.CALLING)
        case EventType.NOT_BOOKED if _is_called(state) and state.status is not Status.CONFIRMED:
            after = replace(state, stage=Stage.HELD if pending else None, clinic_state=ClinicState.NONE)
            return after if pending else replace(after, moving_to=None)
        case EventType.OUTCOME_UNKNOWN if state.clinic_state is ClinicState.CALLING:
            return replace(state, clinic_state=ClinicState.UNKNOWN)
        case EventType.CONFIRMED if pending:
            return _confirmed(state)
        case EventType.REJECTED if (pending or state.stage is Stage.WAITING) and reason is not None:
            return replace(state, status=Status.REJECTED, stage=None, reason=reason, moving_to=None)
        case EventType.CANCELLED if state.status in CANCELLABLE and reason is not None:
            to_undo = state.clinic_state is ClinicState.BOOKED
            return replace(
                state,
                status=Status.CANCELLED,
                stage=None,
                reason=reason,
                by=by,
                clinic_state=ClinicState.WITHDRAWING if to_undo else state.clinic_state,
                moving_to=state.moving_to if _is_being_moved(state) else None,
            )
        case EventType.CANCEL_REFUSED if state.status in CANCELLABLE:
            return state
        case EventType.ARRIVED if state.status is Status.CONFIRMED and state.moving_to is None:
            return replace(state, status=Status.ARRIVED)
        case EventType.COMPLETED if state.status in (Status.CONFIRMED, Status.ARRIVED) and state.moving_to is None:
            return replace(state, status=Status.COMPLETED)
        case EventType.NO_SHOW if state.status in (Status.CONFIRMED, Status.ARRIVED) and state.moving_to is None:
            return replace(state, status=Status.NO_SHOW, by=by)
        case EventType.WITHDRAWAL_DUE if state.status not in WANTS_SEAT and state.clinic_state in (
            ClinicState.CALLING,
            ClinicState.UNKNOWN,
        ):
            return replace(state, clinic_state=ClinicState.WITHDRAWING)
        case EventType.WITHDRAWN if state.clinic_state is ClinicState.WITHDRAWING:
            return replace(state, clinic_state=ClinicState.NONE, moving_to=None)
        case _:
            return None


def _waits_for_clinic(state: State) -> bool:
    """Held, and nobody is calling right now; after an unknown outcome a look-up is a call too."""
    waits = state.stage is Stage.HELD or state.clinic_state is ClinicState.UNKNOWN
    return state.status is Status.PENDING and waits


def _confirmed(state: State) -> State | None:
    """By the clinic's answer or a look-up; straight from held where the platform keeps the calendar."""
    if state.clinic_state in (ClinicState.CALLING, ClinicState.UNKNOWN):
        return replace(state, status=Status.CONFIRMED, stage=None, clinic_state=ClinicState.BOOKED)
    if state.stage is Stage.HELD and state.clinic_state is ClinicState.NONE:
        return replace(state, status=Status.CONFIRMED, stage=None)
    return None


def _waited(state: State, event: EventType) -> State | None:
    """What has to do with waiting for a seat."""
    match event:
        case EventType.WAITLISTED if state.stage is Stage.ACCEPTED:
            return replace(state, status=Status.WAITLISTED, stage=Stage.WAITING)
        case EventType.OFFERED if state.stage is Stage.WAITING:
            return replace(state, stage=Stage.OFFERED, revision=state.revision + 1)
        case EventType.OFFERED if state.stage is Stage.INVITED:  # who held the seat has let go of it
            return replace(state, stage=Stage.OFFERED)
        case EventType.INVITED if state.stage is Stage.WAITING:
            return replace(state, stage=Stage.INVITED, revision=state.revision + 1)
        case EventType.OFFER_ACCEPTED if state.stage in ASKED:
            return replace(state, status=Status.PENDING, stage=Stage.HELD)
        case EventType.OFFER_DECLINED | EventType.OFFER_EXPIRED | EventType.OFFER_LOST if state.stage in ASKED:
            return replace(state, stage=Stage.WAITING, revision=state.revision + 1)
    return None


def _moved(state: State, event: EventType, reason: Reason | None, revision: int | None) -> State | None:
    """What has to do with another time for a booking that has one."""
    confirmed = state.status is Status.CONFIRMED
    match event:
        case EventType.RESCHEDULE_REFUSED if reason is not None:
            return state
        case EventType.RESCHEDULE_HELD if (
            revision is not None
            and revision > state.revision
            and state.moving_to is None
            and (confirmed or (state.status is Status.PENDING and state.stage is not Stage.ACCEPTED))
        ):
            return replace(state, moving_to=revision)
    if state.moving_to is None or state.status not in WANTS_SEAT:
        return None
    match event:
        case EventType.CALLING if confirmed and state.clinic_state in (ClinicState.BOOKED, ClinicState.UNKNOWN):
            return replace(state, clinic_state=ClinicState.CALLING)
        case EventType.RESCHEDULED if _is_being_moved(state):
            return replace(state, clinic_state=ClinicState.BOOKED, revision=state.moving_to, moving_to=None)
        case EventType.RESCHEDULED if state.clinic_state is ClinicState.NONE:  # no clinic knows of the time it had
            return replace(state, revision=state.moving_to, moving_to=None)
        case EventType.NOT_MOVED if _is_being_moved(state):
            return replace(state, clinic_state=ClinicState.BOOKED)
        case EventType.RESCHEDULE_FAILED if confirmed and reason is not None:
            there = ClinicState.BOOKED if _is_called(state) else state.clinic_state
            return replace(state, clinic_state=there, moving_to=None)
    return None


def _is_called(state: State) -> bool:
    return state.clinic_state in (ClinicState.CALLING, ClinicState.UNKNOWN)


def _is_being_moved(state: State) -> bool:
    """Whether its clinic, which has it, was asked for the new time and has not answered."""
    return state.status is Status.CONFIRMED and state.moving_to is not None and _is_called(state)
