"""The moves of one batch: the new time's seat is claimed first, and the old one given up when nobody relies on it.

Where no clinic knows of the booking yet it moves at once; a clinic that has it is asked first, and until it accepts
the booking keeps both seats. What cannot be held is refused with its reason, and the booking stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from waiting_room.domain.appointment import CHANGEABLE, By, ClinicState, EventType, Reason, Stage
from waiting_room.domain.seats import Seat, Taken, allot
from waiting_room.domain.waitlist import Freed
from waiting_room.messages import Moment, Reschedule, TimeRange
from waiting_room.store import reschedules
from waiting_room.store.holds import Claim, Rules
from waiting_room.store.journal import Booking, Journal, Wish
from waiting_room.store.pool import Connection
from waiting_room.store.reschedules import Asked, Row
from workers.hold.doses import Doses
from workers.hold.patients import Patients
from workers.hold.wishes import Bookable, bookable, changed_meanwhile, notice_passed

Key = tuple[str, str]
"""(clinic_id, booking_ref)"""


class Wanted(NamedTuple):
    """What a move asks for, for a booking of this service."""

    service_type: str
    provider_id: str | None
    start_at: Moment | None
    range: TimeRange | None


_IF_REFUSED: Final[Mapping[By, EventType]] = {
    By.PATIENT: EventType.RESCHEDULE_REFUSED,
    By.CLINIC: EventType.RESCHEDULE_REFUSED,
    By.SERVICE: EventType.REJECTED,
}
"""Where the service asks, the slot it has is gone."""


@dataclass(slots=True)
class Rescheduling:
    """``move_within``: how long a clinic has to accept."""

    journal: Journal
    rules: Mapping[str, Rules]
    move_within: timedelta
    asked: dict[Key, Asked]
    doses: Doses
    patients: Patients
    claims: list[Claim] = field(default_factory=list)
    _plans: dict[int, Bookable | Reason] = field(default_factory=dict)
    _rows: list[Row] = field(default_factory=list)

    @classmethod
    async def open(
        cls,
        conn: Connection,
        journal: Journal,
        rules: Mapping[str, Rules],
        move_within: timedelta,
        commands: Iterable[Reschedule],
        doses: Doses,
        patients: Patients,
    ) -> Rescheduling:
        """With what was asked for these bookings before."""
        keys = {(command.clinic_id, command.booking_ref) for command in commands}
        asked = await reschedules.asked(conn, keys) if keys else {}
        return cls(journal, rules, move_within, asked, doses, patients)

    async def recall(self, conn: Connection, keys: Iterable[Key]) -> None:
        """What was asked for these bookings before; to be known of each before it is moved."""
        self.asked.update(await reschedules.asked(conn, list(keys)))

    def plan(self, command: Reschedule, service_type: str | None) -> Bookable | None:
        """Where the clinic's rules would let this move land; to be asked once before ``move``."""
        plan: Bookable | Reason = Reason.NOT_ACTIVE
        if service_type is not None:
            wanted = Wanted(service_type, command.provider_id, command.start_at, command.range)
            plan = bookable(wanted, self.rules[command.clinic_id], self.journal.now)
        self._plans[id(command)] = plan
        return plan if isinstance(plan, Bookable) else None

    def move(self, booking: Booking, command: Reschedule, taken: Taken) -> None:
        """Do what can be done now. A request that was read before changes nothing."""
        asked = self.asked.setdefault(booking.key, Asked())
        stranger = command.app_id not in (None, booking.app_id)
        unasked = command.by is By.SERVICE and not _waits_for_a_slot(booking)
        if stranger or unasked or command.key_hash in asked.key_hashes:
            return
        asked.key_hashes.add(command.key_hash)
        asked.newest_revision = revision = max(asked.newest_revision, booking.known_state.newest_revision) + 1
        plan = self._why_not(booking, command) or self._plans[id(command)]
        if isinstance(plan, Bookable):
            plan = self.patients.when_moved(booking, plan, self.rules[booking.clinic_id])
        seat = plan if isinstance(plan, Reason) else self._allot(booking, plan, taken)
        if isinstance(seat, Reason):
            self._rows.append(Row.refused(booking, revision, command.key_hash, self.journal.now, seat, command.by))
            self.journal.record(booking, _IF_REFUSED[command.by], reason=seat, by=command.by)
            return
        if command.by is By.SERVICE:
            booking.next_attempt_at = None  # its clinic was to be asked again for the slot that is gone
        self._hold(booking, revision, command.key_hash, seat, by=command.by, must_move=False)

    def move_away(
        self,
        booking: Booking,
        plan: Bookable | Reason,
        taken: Taken,
        mark: bytes,
        *,
        for_want_of: str | None = None,
        or_earlier: Bookable | Reason | None = None,
    ) -> Reason | None:
        """Its clinic has closed, or wants a product for it: hold another time for it, or say why there is none.

        One that is not too close to what else its patient has, ``or_earlier`` if need be; where it cannot stay, rather
        one that is too close than none.
        """
        seat = plan if isinstance(plan, Reason) else self._allot_apart(booking, plan, or_earlier, taken, for_want_of)
        if isinstance(seat, Reason):
            return seat
        asked = self.asked.setdefault(booking.key, Asked())
        asked.newest_revision = revision = max(asked.newest_revision, booking.known_state.newest_revision) + 1
        if mark in asked.key_hashes:  # it was moved for this before, and has come back when it could
            mark = sha256(mark + revision.to_bytes(4, "big")).digest()
        asked.key_hashes.add(mark)
        self._hold(booking, revision, mark, seat, by=By.CLINIC, must_move=True, for_want_of=for_want_of)
        self.patients.goes_to(booking, seat.candidate.start_at, self.rules[booking.clinic_id])
        return None

    def _allot_apart(
        self,
        booking: Booking,
        plan: Bookable,
        or_earlier: Bookable | Reason | None,
        taken: Taken,
        for_want_of: str | None,
    ) -> Seat | Reason:
        rules = self.rules[booking.clinic_id]
        parts = self.patients.apart(booking, plan, rules)
        whole = parts == [plan]
        if isinstance(or_earlier, Bookable) and not whole:
            parts += reversed([day for part in self.patients.apart(booking, or_earlier, rules) for day in part.days()])
        if for_want_of is None and not whole:
            parts.append(plan)
        found: Seat | Reason = Reason.TOO_SOON
        for part in parts:
            found = self._allot(booking, part, taken)
            if isinstance(found, Seat):
                break
        return found

    def _why_not(self, booking: Booking, command: Reschedule) -> Reason | None:
        state = booking.known_state
        over = booking.start_at is None or booking.start_at <= self.journal.now
        if state.status not in CHANGEABLE or over:
            return Reason.NOT_ACTIVE
        if changed_meanwhile(booking, command.if_version):
            return Reason.CHANGED_MEANWHILE
        if notice_passed(booking, self.rules[booking.clinic_id], command.by, command.requested_at):
            return Reason.NOTICE_PASSED
        return Reason.ALREADY_MOVING if state.moving_to is not None else None

    def _allot(self, booking: Booking, plan: Bookable, taken: Taken) -> Seat | Reason:
        """Where it moves at once, its own seat is as good as any other. Its dose goes with it, if it will still do."""
        own = None
        if booking.known_state.clinic_state is ClinicState.NONE and booking.provider_id and booking.start_at:
            own = taken.free(booking.provider_id, booking.seat or 0, booking.start_at)
        seat = allot(plan.candidates(), taken)
        if seat is not None and self.doses.keep(booking.key, seat.candidate.start_at, plan.timezone):
            if own is not None:
                self._leave_to_who_waits(booking, own, taken)
            return seat
        if seat is not None:
            taken.free(seat.candidate.provider_id, seat.seat, seat.candidate.start_at)
        if own is not None and booking.provider_id:
            taken.add(booking.provider_id, booking.seat or 0, *own)
        return plan.if_none_free if seat is None else Reason.OUT_OF_STOCK

    def _leave_to_who_waits(self, booking: Booking, own: tuple[datetime, datetime], taken: Taken) -> None:
        """The seat that it moves away from is not the next one's in this batch, if anybody waits."""
        if not self.journal.counters[booking.clinic_id].waiting or booking.provider_id is None:
            return
        self.journal.freed.append((booking.clinic_id, Freed(booking.provider_id, *own)))
        if taken.is_free(booking.provider_id, booking.seat or 0, *own):
            taken.add(booking.provider_id, booking.seat or 0, *own)

    def _hold(
        self,
        booking: Booking,
        revision: int,
        key_hash: bytes,
        seat: Seat,
        *,
        by: By,
        must_move: bool,
        for_want_of: str | None = None,
    ) -> None:
        to, now = seat.candidate, self.journal.now
        until = min(now + self.move_within, to.start_at, booking.start_at or to.start_at)
        wish = Wish(revision, to.provider_id, seat.seat, to.start_at, to.end_at, until, by, must_move)
        self._rows.append(Row.held(booking, wish, key_hash, now, for_want_of))
        self.claims.append(
            Claim(
                booking.clinic_id, to.provider_id, seat.seat, to.start_at, to.busy_until, booking.booking_ref, revision
            )
        )
        self.journal.record(booking, EventType.RESCHEDULE_HELD, revision=revision)
        booking.wish = wish
        state = booking.known_state
        if state.clinic_state is ClinicState.NONE and state.stage in (None, Stage.HELD, Stage.VERIFYING):
            self.journal.record(booking, EventType.RESCHEDULED)
            self.patients.moved(booking, self.rules[booking.clinic_id])

    async def write(self, conn: Connection) -> None:
        """What was asked for, before the journal says what has become of it."""
        if self._rows:
            await reschedules.add(conn, [self._as_it_ended(row) for row in self._rows])

    def _as_it_ended(self, row: Row) -> Row:
        """Where another wish of this batch is held after it, it has been fulfilled: one at a time may stand open."""
        held_after = any(
            each[:2] == row[:2] and each.revision > row.revision and each.ended_at is None for each in self._rows
        )
        if row.ended_at is None and held_after:
            return row._replace(ended_at=self.journal.now, outcome="rescheduled")
        return row


def _waits_for_a_slot(booking: Booking) -> bool:
    """Whether it is held and its clinic has said no to the slot it has, as far as anybody knows."""
    state = booking.known_state
    return state.stage is Stage.HELD and state.clinic_state is ClinicState.NONE
