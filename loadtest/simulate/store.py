"""PostgreSQL as the calls see it: bookings, claims and outcomes, decided by the very rules the product decides by.

What ``waiting_room.store.calls`` does with rows under a lock, this does with objects at a moment. There is nothing to
lock: in virtual time nothing happens at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush

from waiting_room.domain import appointment
from waiting_room.domain.appointment import ClinicState, EventType, Reason, State, Status
from waiting_room.domain.call_plan import Verify, Wait, plan
from waiting_room.domain.call_resolution import resolve
from waiting_room.domain.clinic_call import Answer, Attempt, CallKind, Case, Change, ClinicSystem
from waiting_room.store.left_to_call import Taken

Key = tuple[str, str]
"""(clinic_id, booking_ref)"""

RING_AGAIN = timedelta(seconds=30)
_OPEN_AT_CLINIC = frozenset({ClinicState.CALLING, ClinicState.UNKNOWN, ClinicState.WITHDRAWING})


@dataclass(slots=True)
class Booking:
    """A row. Moments are seconds of virtual time."""

    key: Key
    ticket: int
    accepted: float
    held: float
    state: State
    hold_until: datetime
    decide_by: datetime
    next_attempt_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    first_call: float | None = None
    decided: float | None = None
    eta: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """A call that is the claimant's to make."""

    attempt: int
    kind: CallKind


@dataclass(frozen=True, slots=True)
class Later:
    """See ``waiting_room.store.calls.Later``."""

    seconds: float
    elsewhere: bool


@dataclass(slots=True)
class Store:
    """``decided``: bookings in the order in which they were."""

    bookings: dict[Key, Booking] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, dict[str, Booking]] = field(default_factory=dict)
    """By clinic, in the order of tickets: bookings with a call left to make."""
    decided: list[Booking] = field(default_factory=list)
    _tickets: dict[str, int] = field(default_factory=dict)
    _at_clinic: dict[Key, Booking] = field(default_factory=dict)
    _parked: list[tuple[datetime, Key]] = field(default_factory=list)
    _rung: dict[Key, datetime] = field(default_factory=dict)

    def hold(
        self, key: Key, accepted: float, now: float, at: datetime, usual: timedelta, in_outage: timedelta
    ) -> Booking:
        """A new booking with its seat."""
        clinic_id, ref = key
        ticket = self._tickets[clinic_id] = self._tickets.get(clinic_id, 0) + 1
        state = appointment.apply(appointment.apply(None, EventType.ACCEPTED), EventType.HELD)
        booking = self.bookings[key] = Booking(key, ticket, accepted, now, state, at + usual, at + in_outage)
        self.lines[clinic_id] = self.lines.get(clinic_id, 0) + 1
        self.waiting.setdefault(clinic_id, {})[ref] = booking
        return booking

    def cancel(self, key: Key, now: float) -> Booking | None:
        """By the patient; None if that changes nothing."""
        booking = self.bookings.get(key)
        if booking is None or booking.state.status not in appointment.CHANGEABLE:
            return None
        self._apply(booking, [Change(EventType.CANCELLED, Reason.PATIENT)], now)
        if booking.state.clinic_state is ClinicState.NONE:
            self._forget(booking)
        else:
            self.waiting.setdefault(key[0], {})[key[1]] = booking
        return booking

    def claim(
        self, key: Key, claimant: str, system: ClinicSystem, lease_seconds: float, now: float, at: datetime
    ) -> Granted | Later | None:
        """The call to make now, when to ask again, or that there is nothing to do."""
        booking = self.bookings[key]
        case = self._case(booking)
        planned = plan(case, system, claimant, at)
        if planned.closes is not None and case.open is not None:
            self._end(booking, case.open.attempt, planned.closes, at)
        self._apply(booking, planned.changes, now)
        match planned.step:
            case None:
                self._forget(booking)
                return None
            case Wait(until=until, elsewhere=elsewhere):
                return Later(max((until - at).total_seconds(), 0.0), elsewhere)
            case CallKind() as kind:
                return self._begin(booking, kind, claimant, lease_seconds, at)
            case Verify():
                raise ValueError(f"{key} is to be verified, and no service asks for that here")

    def record(
        self,
        key: Key,
        number: int,
        answer: Answer,
        system: ClinicSystem,
        again_seconds: float,
        now: float,
        at: datetime,
    ) -> float | None:
        """Store what came of a call; seconds until the next, None if none is left to make."""
        booking = self.bookings[key]
        resolution = resolve(self._case(booking), number, answer, system, at, again_seconds)
        if resolution.outcome is not None:
            self._end(booking, number, resolution.outcome, at)
        self._apply(booking, resolution.changes, now)
        if resolution.outcome is not None or resolution.changes:
            booking.next_attempt_at = resolution.again_at
        if resolution.again_at is None:
            self._forget(booking)
            return None
        return max((resolution.again_at - at).total_seconds(), 0.0)

    def take(self, clinic_id: str, known: tuple[str, ...], wanted: int, at: datetime, *, soon_seconds: float) -> Taken:
        """As ``waiting_room.store.left_to_call.take``."""
        left_out = set(known)
        line = [(ref, each) for ref, each in self.waiting.get(clinic_id, {}).items() if ref not in left_out]
        found = sorted(
            (booking.state.clinic_state is not ClinicState.WITHDRAWING, booking.ticket, ref)
            for ref, booking in line
            if self._is_due(booking, at)
        )
        more_in = None
        if len(found) < wanted:
            moments = (each.next_attempt_at for _, each in line if not self._is_due(each, at))
            later = [(moment - at).total_seconds() for moment in moments if moment is not None]
            more_in = min((seconds for seconds in later if seconds <= soon_seconds), default=None)
        return Taken([(ref, not keeps) for keeps, _, ref in found[:wanted]], more_in)

    def unheard(self, at: datetime) -> list[Booking]:
        """What sweep rings for: the time of a retry has come, or a caller has died; and nobody's lease runs."""
        found = []
        while self._parked and self._parked[0][0] <= at:
            booking = self.bookings[heappop(self._parked)[1]]
            if booking.next_attempt_at is not None and booking.next_attempt_at <= at and self._waits(booking):
                found.append(booking)
        for booking in self._at_clinic.values():
            due = booking.next_attempt_at is None or booking.next_attempt_at <= at
            rung = self._rung.get(booking.key)
            unheard = rung is None or rung + RING_AGAIN <= at or (booking.next_attempt_at or rung) > rung
            if due and unheard and self._waits(booking):
                self._rung[booking.key] = at
                found.append(booking)
        return found

    def park(self, key: Key, due_at: datetime) -> None:
        """It leaves its lane and is due again then."""
        heappush(self._parked, (due_at, key))

    def expire(self, clinic_id: str, now: float, at: datetime, *, down: bool) -> None:
        """What sweep does to holds that ran out, the oldest first: more time where a clinic is down, or rejected."""
        for booking in list(self.waiting.get(clinic_id, {}).values()):
            if booking.hold_until > at:
                return
            if booking.state.status is not Status.PENDING:
                continue
            if down and booking.hold_until < booking.decide_by:
                booking.hold_until = booking.decide_by
            elif (
                booking.state.clinic_state in (ClinicState.NONE, ClinicState.UNKNOWN)
                and self._case(booking).open is None
            ):
                self._apply(booking, [Change(EventType.REJECTED, Reason.CLINIC_UNAVAILABLE)], now)
                if booking.state.clinic_state is ClinicState.NONE:
                    self._forget(booking)

    def _is_due(self, booking: Booking, at: datetime) -> bool:
        state = booking.state
        if state.clinic_state is ClinicState.CALLING:
            return True
        if (
            state.clinic_state is ClinicState.UNKNOWN
            and state.status is Status.PENDING
            and booking.next_attempt_at is None
        ):
            return False  # nothing can be learnt; its deadline settles it
        return booking.next_attempt_at is None or booking.next_attempt_at <= at

    def _case(self, booking: Booking) -> Case:
        return Case(booking.state, booking.hold_until, booking.next_attempt_at, booking.attempts)

    def _apply(self, booking: Booking, changes: list[Change] | tuple[Change, ...], now: float) -> None:
        for change in changes:
            before = booking.state
            booking.state = appointment.apply(before, change.event, reason=change.reason)
            if booking.state.decided and not before.decided:
                booking.decided = now
                self.decided.append(booking)
                self.lines[booking.key[0]] -= 1
        if booking.state.clinic_state in _OPEN_AT_CLINIC:
            self._at_clinic[booking.key] = booking
        else:
            self._at_clinic.pop(booking.key, None)

    def _begin(self, booking: Booking, kind: CallKind, claimant: str, lease_seconds: float, at: datetime) -> Granted:
        number = booking.attempts[-1].attempt + 1 if booking.attempts else 1
        lease_until = at + timedelta(seconds=lease_seconds)
        booking.attempts = (*booking.attempts, Attempt(number, kind, claimant, at, lease_until))
        booking.next_attempt_at = lease_until
        return Granted(number, kind)

    def _end(self, booking: Booking, number: int, outcome: str, at: datetime) -> None:
        booking.attempts = tuple(
            replace(each, ended_at=at, outcome=outcome) if each.attempt == number and each.ended_at is None else each
            for each in booking.attempts
        )

    def _waits(self, booking: Booking) -> bool:
        return booking.key[1] in self.waiting.get(booking.key[0], {})

    def _forget(self, booking: Booking) -> None:
        if booking.state.status is Status.PENDING:
            return  # no call is left to make, but its time will run out
        clinic_id, ref = booking.key
        waiting = self.waiting.get(clinic_id)
        if waiting is not None:
            waiting.pop(ref, None)
            if not waiting:
                del self.waiting[clinic_id]
