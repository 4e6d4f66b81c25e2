"""What a booking goes through, step by step, and what undoes each step: one table.

A step's row is what the code goes by. ``step_of`` says which step a pending booking is at; its ``out_of_time`` is why
it is given up there, whoever notices; ``stands`` says of any booking whether what the step did is still to be undone,
and what frees seats and calls for withdrawals asks it. docs/saga.md is written from here
(``python -m waiting_room saga --markdown``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from waiting_room.domain.appointment import ClinicState, EventType, Reason, Stage, State, Status


@dataclass(frozen=True, slots=True)
class Step:
    """One step forward, and its undo. ``run_by``: the roles, as ``python -m workers`` takes them."""

    name: str
    run_by: tuple[str, ...]
    stages: tuple[Stage, ...]
    """Of a pending booking that is at this step."""
    done: tuple[EventType, ...]
    """The events by which it is over and the next one is due."""
    refused: tuple[Reason, ...]
    """Final noes; with each the booking is rejected."""
    out_of_time: Reason
    """Why it is rejected if its deadline finds it here."""
    leaves: str
    """What is different in the world when it is done."""
    stands: Callable[[State], bool]
    """Whether that is still so, or may be: what is left to undo once nobody wants the booking."""
    undo: str
    undone_by: tuple[EventType, ...]
    """The events that leave nothing to undo, or that begin to undo it."""


HOLD: Final = Step(
    name="hold",
    run_by=("hold",),
    stages=(Stage.ACCEPTED,),
    done=(EventType.HELD,),
    refused=(
        Reason.SLOT_TAKEN,
        Reason.NO_FREE_SLOT,
        Reason.OUT_OF_STOCK,
        Reason.NOT_BOOKABLE,
        Reason.OUTSIDE_HOURS,
        Reason.TOO_SHORT_NOTICE,
        Reason.TOO_FAR_AHEAD,
        Reason.CLINIC_CLOSED,
        Reason.TOO_MANY_PENDING,
        Reason.ALREADY_BOOKED,
        Reason.TOO_SOON,
        Reason.UNPROCESSABLE,
    ),
    out_of_time=Reason.CLINIC_UNAVAILABLE,
    leaves="a seat, doses and one of the patient's places are claimed",
    stands=lambda state: state.keeps_seat,
    undo="the claims are deleted in the transaction that writes the event, once no clinic can rely on them",
    undone_by=(
        EventType.REJECTED,
        EventType.CANCELLED,
        EventType.NO_SHOW,
        EventType.NOT_BOOKED,
        EventType.WITHDRAWN,
        EventType.WAITLISTED,
        EventType.OFFER_DECLINED,
        EventType.OFFER_EXPIRED,
        EventType.OFFER_LOST,
    ),
)
ELIGIBILITY: Final = Step(
    name="eligibility",
    run_by=("confirm",),
    stages=(Stage.VERIFYING,),
    done=(EventType.VERIFIED, EventType.NOT_VERIFIED),
    refused=(
        Reason.NOT_ELIGIBLE,
        Reason.UNPROCESSABLE,  # nobody can be asked about: the patient cannot be read
    ),
    out_of_time=Reason.ELIGIBILITY_UNKNOWN,
    leaves="nothing: asking changes nothing",
    stands=lambda state: False,
    undo="-",
    undone_by=(),
)
CONFIRM: Final = Step(
    name="confirm",
    run_by=("confirm",),
    stages=(Stage.HELD, Stage.CONFIRMING),
    done=(EventType.CONFIRMED,),
    refused=(
        Reason.CLINIC_REFUSED,
        Reason.SLOT_TAKEN,
        Reason.PROVIDER,
        Reason.NO_FREE_SLOT,  # the clinic took none of those that fitted
        Reason.OUT_OF_STOCK,
        Reason.UNPROCESSABLE,
    ),
    out_of_time=Reason.CLINIC_UNAVAILABLE,
    leaves="the clinic has the booking, or may have it",
    stands=lambda state: state.clinic_state is not ClinicState.NONE,
    undo="it is withdrawn at the clinic until the clinic acknowledges; before that nothing of the hold is undone",
    undone_by=(EventType.NOT_BOOKED, EventType.WITHDRAWN),
)
SAGA: Final = (HOLD, ELIGIBILITY, CONFIRM)

_AT: Final[Mapping[Stage, Step]] = {stage: step for step in SAGA for stage in step.stages}


def step_of(state: State) -> Step | None:
    """The step that a pending booking is at; None once it is decided, be it that it waits for a seat."""
    return _AT[state.stage] if state.stage is not None and state.status is Status.PENDING else None


def out_of_time(state: State) -> Reason:
    """Why a pending booking is rejected whose time is up."""
    step = step_of(state)
    return Reason.CLINIC_UNAVAILABLE if step is None else step.out_of_time


def in_line(state: State | None) -> bool:
    """Whether it has a ticket and is not decided: it counts in its clinic's line."""
    return state is not None and step_of(state) not in (None, HOLD)


def to_free(state: State) -> bool:
    """Whether nobody relies any more on what hold has claimed for it."""
    return not HOLD.stands(state)


def to_withdraw(state: State) -> bool:
    """Whether its clinic has, or may have, what nobody wants any more."""
    return state.status in (Status.REJECTED, Status.CANCELLED) and CONFIRM.stands(state)
