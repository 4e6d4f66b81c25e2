"""The one way a booking changes in the database.

A Journal is one transaction's work: it locks the clinics' counter rows in ascending id, applies events to bookings
in memory through the state machine, and writes rows, events, counters, freed seats and doses together. Ticket and event
numbers come from the locked rows, so each clinic's are in order and without gaps, and whoever holds the lock sees
bookings that nobody else can change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from waiting_room.domain import appointment, saga
from waiting_room.domain.appointment import By, EventType, Reason, State, Status
from waiting_room.messages import BookingEvent
from waiting_room.store import doses, patients, sql
from waiting_room.store.booking import Booking as Booking
from waiting_room.store.booking import Wish as Wish
from waiting_room.store.booking import booking_of
from waiting_room.store.pool import Connection

_SQL = sql.load("journal")
_record = msgspec.json.Encoder()
_NEW_COLUMNS = (
    "clinic_id", "booking_ref", "app_id", "ticket", "status", "stage", "clinic_state", "reason", "by", "row_version",
    "body_hash", "provider_id", "seat", "service_type", "start_at", "end_at", "patient_id", "patient", "accepted_at",
    "held_at", "decided_at", "hold_until", "decide_by", "next_attempt_at", "eta_p50", "eta_p90", "revision",
    "moving_to", "doses", "range_to",
)  # fmt: skip
_EVENT_COLUMNS = ("clinic_id", "seq", "booking_ref", "event", "at", "record")


@dataclass(slots=True)
class Counters:
    """A clinic's locked counter row."""

    last_ticket: int
    last_seq: int
    line: int
    rules_version: int


@dataclass(slots=True)
class Journal:
    """Open one inside a transaction; record; write; commit. ``now`` is the database's clock at the lock."""

    conn: Connection
    counters: dict[str, Counters]
    now: datetime
    events: list[BookingEvent] = field(default_factory=list)
    _new: dict[tuple[str, str], Booking] = field(default_factory=dict)
    _changed: dict[tuple[str, str], Booking] = field(default_factory=dict)
    _ended: list[tuple[Booking, int, str, Reason | None]] = field(default_factory=list)
    """(booking, revision, outcome, reason) of wishes that nothing is left to do for."""

    @classmethod
    async def open(cls, conn: Connection, clinic_ids: Iterable[str]) -> Journal:
        """Lock these clinics. Raises asyncpg.LockNotAvailableError after lock_timeout, KeyError if one is unknown."""
        wanted = sorted(set(clinic_ids))
        rows = await conn.fetch(_SQL["lock_clinics"], wanted)
        if len(rows) != len(wanted):
            raise KeyError(f"unknown clinics: {sorted(set(wanted) - {row['clinic_id'] for row in rows})}")
        counters = {
            row["clinic_id"]: Counters(row["last_ticket"], row["last_seq"], row["line"], row["rules_version"])
            for row in rows
        }
        return cls(conn, counters, rows[-1]["now"])

    async def load(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Booking]:
        """The bookings of these (clinic_id, booking_ref) that exist."""
        pairs = list(keys)
        rows = await self.conn.fetch(_SQL["load_bookings"], [clinic for clinic, _ in pairs], [ref for _, ref in pairs])
        return {(row["clinic_id"], row["booking_ref"]): booking_of(row) for row in rows}

    def next_ticket(self, clinic_id: str) -> int:
        counters = self.counters[clinic_id]
        counters.last_ticket += 1
        return counters.last_ticket

    def record(
        self,
        booking: Booking,
        event: EventType,
        *,
        reason: Reason | None = None,
        by: By | None = None,
        revision: int | None = None,
    ) -> None:
        """Apply ``event`` to ``booking`` and queue what it changes. Raises IllegalTransition; then nothing changed."""
        before = booking.state
        after = appointment.apply(before, event, reason=reason, by=by, revision=revision)
        counters = self.counters[booking.clinic_id]
        if event is EventType.HELD:
            counters.line += 1
        if saga.in_line(before) and after.decided:
            counters.line -= 1
        if after.decided and not (before and before.decided):
            booking.decided_at = self.now
        if before is not None and before.moving_to is not None and after.moving_to is None:
            by = self._end_wish(booking, before.moving_to, event, reason) or by
        if before is None:
            self._new[booking.key] = booking
        elif booking.key not in self._new:
            self._changed[booking.key] = booking
        booking.state = after
        booking.row_version += 1
        counters.last_seq += 1
        self.events.append(self._event(booking, after, event, counters, reason, by))

    def _end_wish(self, booking: Booking, revision: int, event: EventType, reason: Reason | None) -> By | None:
        """The booking is moved, or is not going to be. Whose wish it was, if that is what happens."""
        wish, booking.wish = booking.wish, None
        if event is EventType.RESCHEDULED:
            if wish is None:
                raise ValueError(f"{booking.booking_ref} is moved to nowhere")
            booking.provider_id, booking.seat = wish.provider_id, wish.seat
            booking.start_at, booking.end_at = wish.start_at, wish.end_at
            self._ended.append((booking, revision, "rescheduled", None))
            return wish.by
        failed = event is EventType.RESCHEDULE_FAILED
        self._ended.append((booking, revision, "failed" if failed else "dropped", reason if failed else None))
        return wish.by if failed and wish else None

    def touch(self, booking: Booking) -> None:
        """Queue a change that is no event: ``attempts`` or ``next_attempt_at`` of an existing row."""
        if booking.key not in self._new:
            self._changed[booking.key] = booking

    def _event(
        self,
        booking: Booking,
        state: State,
        event: EventType,
        counters: Counters,
        reason: Reason | None,
        by: By | None,
    ) -> BookingEvent:
        return BookingEvent(
            clinic_id=booking.clinic_id,
            seq=counters.last_seq,
            booking_ref=booking.booking_ref,
            app_id=booking.app_id,
            event=event,
            at=self.now,
            status=state.status,
            row_version=booking.row_version,
            revision=state.revision,
            stage=state.stage,
            clinic_state=state.clinic_state,
            reason=reason if event in appointment.OF_THE_WISH else state.reason,
            by=by if event in appointment.OF_THE_WISH else state.by,
            ticket=booking.ticket,
            provider_id=booking.provider_id,
            service_type=booking.service_type,
            start_at=booking.start_at,
            end_at=booking.end_at,
            line=counters.line,
            moving_to=state.moving_to,
        )

    async def write(self) -> None:
        """Store everything recorded. The caller commits."""
        if self._new:
            await self.conn.copy_records_to_table(
                "appointments", columns=_NEW_COLUMNS, records=map(_new_values, self._new.values())
            )
        if self._changed:
            await self.conn.execute(_SQL["update_appointments"], *_columns(_changed_values, self._changed.values()))
            freed = [booking for booking in self._changed.values() if saga.to_free(booking.known_state)]
            if freed:
                await self.conn.execute(_SQL["free_seats"], *_columns(lambda booking: booking.key, freed))
        if self._ended:
            await self._write_ended()
        await self._settle_claims()
        if not self.events:
            return
        await self.conn.copy_records_to_table(
            "appointment_events", columns=_EVENT_COLUMNS, records=map(_event_values, self.events)
        )
        touched = {event.clinic_id for event in self.events}
        await self.conn.execute(
            _SQL["save_counters"],
            *_columns(
                lambda item: (item[0], item[1].last_ticket, item[1].last_seq, item[1].line),
                [item for item in self.counters.items() if item[0] in touched],
            ),
        )

    async def _settle_claims(self) -> None:
        """Doses go with the seat, or into the patient; what is decided is no pending booking of its patient's."""
        changed = self._changed.values()
        ended = [
            (*booking.key, booking.known_state.status is Status.COMPLETED)
            for booking in changed
            if booking.doses and not booking.known_state.keeps_doses
        ]
        if ended:
            await doses.settle(self.conn, ended)
        decided = [(*each.key, each.known_state.status.value) for each in changed if each.known_state.decided]
        if decided:
            await patients.settle(self.conn, decided)

    async def _write_ended(self) -> None:
        """What became of wishes, where moved bookings are now, and the seats that these do not need any more."""
        ended = [(*booking.key, *rest) for booking, *rest in self._ended]
        await self.conn.execute(_SQL["end_reschedules"], *zip(*ended, strict=True), self.now)
        moved = [booking for booking, _, outcome, _ in self._ended if outcome == "rescheduled"]
        if moved:
            await self.conn.execute(_SQL["move_appointments"], *_columns(_moved_values, moved))
            await patients.moved(self.conn, [(*each.key, each.start_at) for each in moved])
        kept = [(*booking.key, booking.known_state.revision) for booking, *_ in self._ended]
        await self.conn.execute(_SQL["free_other_revisions"], *zip(*kept, strict=True))


def _columns(values: Any, items: Iterable[Any]) -> list[tuple[Any, ...]]:
    return list(zip(*map(values, items), strict=True))


def _new_values(b: Booking) -> tuple[Any, ...]:
    state = b.known_state
    return (
        b.clinic_id, b.booking_ref, b.app_id, b.ticket, state.status, state.stage, state.clinic_state, state.reason,
        state.by, b.row_version, b.body_hash, b.provider_id, b.seat, b.service_type, b.start_at, b.end_at,
        b.patient_id, b.patient, b.accepted_at, b.held_at, b.decided_at, b.hold_until, b.decide_by, b.next_attempt_at,
        b.eta_p50, b.eta_p90, state.revision, state.moving_to, b.doses,
        b.range_to,
    )  # fmt: skip


def _changed_values(b: Booking) -> tuple[Any, ...]:
    state = b.known_state
    return (
        b.clinic_id, b.booking_ref, state.status, state.stage, state.clinic_state, state.reason, state.by,
        b.row_version, b.decided_at, b.next_attempt_at, b.attempts, b.clinic_booking_id, state.moving_to,
        state.revision,
    )  # fmt: skip


def _moved_values(b: Booking) -> tuple[Any, ...]:
    return (*b.key, b.provider_id, b.seat, b.start_at, b.end_at)


def _event_values(event: BookingEvent) -> tuple[Any, ...]:
    return (
        event.clinic_id,
        event.seq,
        event.booking_ref,
        event.event,
        event.at,
        _record.encode(event).decode(),
    )
