"""Calls at a clinic: their kinds, their answers, and a booking as they see it.

``call_plan`` says which call is next, ``call_resolution`` what an answer means. Three rules keep a clinic from
getting a booking twice, or keeping one that nobody wants:

- After a call with an unknown outcome the clinic is asked before anything is repeated. "Not there" counts only if
  asked ``settle_seconds`` after the last moment at which that call can have been sent. A clinic that cannot be
  asked gets the same idempotency key again after that time; one that does not honour keys either gets nothing:
  the booking stays unknown until a person or its deadline settles it.
- What the clinic may hold is withdrawn before its seat is given away, and withdrawn until it is acknowledged.
- An answer that comes after its lease was taken over changes nothing, except that positive knowledge of the last
  confirming call resolves a state that is still unknown: it may be the only knowledge there will ever be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from waiting_room.domain.appointment import WANTS_SEAT, By, ClinicState, EventType, Reason, Stage, State, Status
from waiting_room.domain.directory import AdapterKind, Eligibility
from waiting_room.domain.failures import CLINIC_DID_NOTHING, Failure


class CallKind(StrEnum):
    CONFIRM = "confirm"
    MOVE = "move"
    """Have the clinic put the booking it has at another time."""
    LOOKUP = "lookup"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class ClinicSystem:
    """How a clinic's own system is reached and what it can do; all of it declared by the clinic."""

    clinic_id: str
    adapter: AdapterKind
    endpoint: str | None
    declared_concurrency: int
    settle_seconds: float
    """Longer than the clinic's longest processing of one call."""
    honours_idempotency: bool
    has_lookup: bool
    partition: int = 0
    shared: bool = False
    """Whether other clinics have the same partition."""
    moved: bool = False
    """Whether it was in another partition before, so that not all of its line needs to have been rung for in this."""
    business_id: str = ""
    asks: Mapping[str, Eligibility] = field(default_factory=dict)
    """By service type, of those that ask whether a patient may have them."""

    def asks_for(self, service_type: str | None) -> Eligibility:
        """What this service asks for before the clinic is called."""
        return self.asks.get(service_type or "", Eligibility.NONE)


@dataclass(frozen=True, slots=True)
class Booked:
    """The clinic has the booking."""

    clinic_booking_id: str


@dataclass(frozen=True, slots=True)
class NotThere:
    """The clinic does not have the booking. ``final``: it says that it had it and has it no more."""

    final: bool = False


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The clinic has acknowledged the withdrawal, or never had the booking."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer that counts. ``reason`` goes with Failure.REFUSED: what the patient is told."""

    failure: Failure
    reason: Reason = Reason.CLINIC_REFUSED


Answer = Booked | NotThere | Withdrawn | Failed


class Ending(StrEnum):
    """How an attempt ended, beside the values of Failure."""

    BOOKED = "booked"
    NOT_THERE = "not_there"
    NOT_THERE_YET = "not_there_yet"
    """Asked before the clinic can be done with an earlier call: proves nothing."""
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    """The attempt's owner fell silent."""


BOOKS = frozenset({CallKind.CONFIRM, CallKind.MOVE})
"""After these calls the clinic has the booking at the revision it was called with."""

_MAY_HAVE_BOOKED = frozenset({Ending.EXPIRED, Failure.OUTCOME_UNKNOWN})
_PROVES_ABSENCE = frozenset({Ending.NOT_THERE, Ending.WITHDRAWN, Failure.REFUSED})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One claimed call; open until ``ended_at``. ``claimant`` names whoever asked for it, and for this call only."""

    attempt: int
    kind: CallKind
    claimant: str
    claimed_at: datetime
    lease_until: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    """A value of Ending or Failure."""
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Case:
    """A booking as the clinic calls see it; ``attempts`` ascending by number.

    ``move_until``: by then its clinic has accepted the time it is to be moved to, or it stays where it is; where it
    ``must_move``, it is cancelled instead.
    """

    state: State
    hold_until: datetime | None
    next_attempt_at: datetime | None
    attempts: tuple[Attempt, ...]
    move_until: datetime | None = None
    must_move: bool = False
    others_would_do: bool = False
    """Whether it named a range that has starts after the one it was given."""

    @property
    def open(self) -> Attempt | None:
        """The one attempt that has not ended."""
        return next((each for each in self.attempts if each.ended_at is None), None)

    def not_moved_because(self, reason: Reason) -> list[Change]:
        """What becomes of a booking that is not going to be moved."""
        failed = Change(EventType.RESCHEDULE_FAILED, reason)
        return [failed, Change(EventType.CANCELLED, Reason.PROVIDER, By.CLINIC)] if self.must_move else [failed]

    @property
    def call_revision(self) -> int:
        """The revision that its next call is about."""
        return self.state.revision if self.state.status is Status.PENDING else self.state.newest_revision

    def settled_at(self, system: ClinicSystem) -> datetime | None:
        """From when on the clinic's silence about this booking is its final word; None if it was never called."""
        for each in reversed(self.attempts):
            if each.kind in BOOKS and each.outcome not in CLINIC_DID_NOTHING:
                sent_until = each.lease_until if each.ended_at is None else min(each.ended_at, each.lease_until)
                return sent_until + timedelta(seconds=system.settle_seconds)
        return None

    def if_nothing_came_of(self, number: int) -> EventType:
        """The event when attempt ``number``, to confirm or to move, did nothing: it may have repeated one that did."""
        revision = next(each.revision for each in self.attempts if each.attempt == number)
        for each in reversed(self.attempts):
            if each.attempt >= number:
                continue
            if each.outcome in _PROVES_ABSENCE or each.revision != revision:
                break
            if each.kind in BOOKS and each.outcome in _MAY_HAVE_BOOKED:
                return EventType.OUTCOME_UNKNOWN
        return self.if_not_done

    @property
    def if_not_done(self) -> EventType:
        """The event when its clinic has certainly not done what it was asked for last: to book it, or to move it."""
        if self.state.moving_to is None or self.state.status is Status.PENDING:
            return EventType.NOT_BOOKED
        return EventType.NOT_MOVED if self.state.status is Status.CONFIRMED else EventType.WITHDRAWAL_DUE


def needs_clinic(state: State, system: ClinicSystem) -> bool:
    """Whether a call at the clinic is left to make for a booking in this state."""
    pending = state.status is Status.PENDING
    match state.clinic_state:
        case ClinicState.NONE:
            return pending and state.stage is not Stage.ACCEPTED and system.adapter is not AdapterKind.BUILTIN
        case ClinicState.UNKNOWN:
            unwanted = state.status not in WANTS_SEAT
            return unwanted or system.has_lookup or system.honours_idempotency
        case ClinicState.CALLING | ClinicState.WITHDRAWING:
            return True
        case ClinicState.BOOKED:
            return state.status is Status.CONFIRMED and state.moving_to is not None


@dataclass(frozen=True, slots=True)
class Change:
    """An event for the journal."""

    event: EventType
    reason: Reason | None = None
    by: By | None = None
