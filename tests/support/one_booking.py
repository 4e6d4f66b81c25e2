"""A booking, its calls and its clinic's mail as the model of confirming has them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from waiting_room.domain import appointment
from waiting_room.domain.appointment import ClinicState, EventType, Stage, State, Status
from waiting_room.domain.clinic_call import Answer, Attempt, CallKind, Case, Change

START = datetime(2026, 11, 23, 8, tzinfo=UTC)


@dataclass
class Call:
    """One claimed call in a worker's memory."""

    number: int
    kind: CallKind
    revision: int
    sendable_until: datetime
    sent: Request | None = None
    answer: Answer | None = None


@dataclass(eq=False)
class Request:
    """Bytes that reached the clinic; carried out once, some time before ``until``."""

    kind: CallKind
    revision: int
    until: datetime
    answer: Answer | None = None


@dataclass
class Row:
    state: State = field(default_factory=lambda: State(Status.PENDING, Stage.HELD))
    next_attempt_at: datetime | None = None
    attempts: list[Attempt] = field(default_factory=list)
    hold_until: datetime = START + timedelta(seconds=300)
    move_until: datetime | None = None
    revisions: int = 1

    def case(self) -> Case:
        return Case(self.state, self.hold_until, self.next_attempt_at, tuple(self.attempts), self.move_until)

    def record(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self.state = appointment.apply(self.state, change.event, reason=change.reason, by=change.by)

    def reschedule(self, until: datetime) -> None:
        """As hold does it."""
        self.revisions += 1
        self.state = appointment.apply(self.state, EventType.RESCHEDULE_HELD, revision=self.revisions)
        self.move_until = until
        if self.state.clinic_state is ClinicState.NONE:
            self.state = appointment.apply(self.state, EventType.RESCHEDULED)

    def end(self, number: int, at: datetime, outcome: str) -> None:
        self.attempts = [
            replace(each, ended_at=at, outcome=outcome) if each.attempt == number else each for each in self.attempts
        ]
