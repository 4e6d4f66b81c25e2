"""The one way a booking changes in the database.

A Journal is one transaction's work: it locks the clinics' counter rows in ascending id, applies events to bookings
in memory through the state machine, and writes rows, events, counters, freed seats and doses together. Ticket and event
numbers come from the locked rows, so each clinic's are in order and without gaps, and whoever holds the lock sees
bookings that nobody else can change. A seat that comes free by what is written is given to who waits for it
(``offering``) in the same transaction, whoever writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from waiting_room.domain import appointment, saga
from waiting_room.domain.appointment import ASKED, By, EventType, Reason, Stage, State, Status
from waiting_room.domain.waitlist import Ended, Freed
from waiting_room.messages import BookingEvent
from waiting_room.store import doses, offering, patients, sql, waitlist
from waiting_room.store.booking import Booking as Booking
from waiting_room.store.booking import Wish as Wish
from waiting_room.store.booking import booking_of
from waiting_room.store.journal_rows import (
    EVENT_COLUMNS,
    NEW_COLUMNS,
    changed_values,
    columns,
    event_values,
    moved_values,
    new_values,
    placed_values,
)
from waiting_room.store.pool import Connection

_SQL = sql.load("journal")
_ENDED = {
    EventType.OFFER_ACCEPTED: Ended.ACCEPTED,
    EventType.OFFER_DECLINED: Ended.DECLINED,
    EventType.OFFER_EXPIRED: Ended.EXPIRED,
    EventType.OFFER_LOST: Ended.LOST,
}
"""By what else an offer ends, it is withdrawn."""


@dataclass(slots=True)
class Counters:
    """A clinic's locked counter row."""

    last_ticket: int
    last_seq: int
    line: int
    rules_version: int
    waiting: int
    """Bookings that wait for a seat, offered or not."""


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
    _placed: dict[tuple[str, str], Booking] = field(default_factory=dict)
    """Who waits and has got another place, or none, and who has accepted one."""
    _ended_offers: list[tuple[str, str, Ended]] = field(default_factory=list)
    _stored: int = 0
    freed: list[tuple[str, Freed]] = field(default_factory=list)
    """By clinic, seats that came free and were given to nobody yet."""
    groups: set[waitlist.Group] = field(default_factory=set)
    """Of those who were invited together, where one is not any more."""
    waits_again: list[tuple[str, str]] = field(default_factory=list)
    """Who was offered a seat and did not take it."""

    @classmethod
    async def open(cls, conn: Connection, clinic_ids: Iterable[str]) -> Journal:
        """Lock these clinics. Raises asyncpg.LockNotAvailableError after lock_timeout, KeyError if one is unknown."""
        wanted = sorted(set(clinic_ids))
        rows = await conn.fetch(_SQL["lock_clinics"], wanted)
        if len(rows) != len(wanted):
            raise KeyError(f"unknown clinics: {sorted(set(wanted) - {row['clinic_id'] for row in rows})}")
        counters = {
            row["clinic_id"]: Counters(
                row["last_ticket"], row["last_seq"], row["line"], row["rules_version"], row["waiting"]
            )
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
        if event in (EventType.HELD, EventType.OFFER_ACCEPTED):
            counters.line += 1
        if saga.in_line(before) and after.decided:
            counters.line -= 1
        if not after.decided:
            booking.decided_at = None
        elif not (before and before.decided):
            booking.decided_at = self.now
        self._note_wait(booking, before, after, event, counters)
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
            booking.moved_by = wish.by
            self._ended.append((booking, revision, "rescheduled", None))
            return wish.by
        failed = event is EventType.RESCHEDULE_FAILED
        self._ended.append((booking, revision, "failed" if failed else "dropped", reason if failed else None))
        return wish.by if failed and wish else None

    def _note_wait(
        self, booking: Booking, before: State | None, after: State, event: EventType, counters: Counters
    ) -> None:
        """Counted among those who wait or no more, and whether it has the place it was offered."""
        waited = before is not None and before.status is Status.WAITLISTED
        counters.waiting += (after.status is Status.WAITLISTED) - waited
        if before is not None and before.stage in ASKED and after.stage not in ASKED:
            self._ended_offers.append((*booking.key, _ENDED.get(event, Ended.WITHDRAWN)))
            if after.stage is Stage.WAITING:
                self.waits_again.append(booking.key)
            if event is not EventType.OFFER_ACCEPTED:
                booking.provider_id = booking.seat = booking.start_at = booking.end_at = None
        if waited:
            self._placed[booking.key] = booking

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
            offer=booking.offer if event in (EventType.OFFERED, EventType.INVITED) else None,
        )

    async def write(self, *, give: bool = True) -> None:
        """Store everything recorded, then give the seats that came free to who waits for them. The caller commits.

        Who does not ``give`` does so later in its transaction, when all that it claims itself is written.
        """
        await self._store()
        if give:
            await offering.give(self)

    async def _store(self) -> None:
        if self._new:
            await self.conn.copy_records_to_table(
                "appointments", columns=NEW_COLUMNS, records=map(new_values, self._new.values())
            )
        if self._changed:
            await self.conn.execute(_SQL["update_appointments"], *columns(changed_values, self._changed.values()))
            freed = [booking for booking in self._changed.values() if saga.to_free(booking.known_state)]
            if freed:
                await self._free("free_seats", *columns(lambda booking: booking.key, freed))
        if self._ended:
            await self._write_ended()
        await self._settle_claims()
        await self._write_waits()
        self._new, self._changed = {}, {}
        events, self._stored = self.events[self._stored :], len(self.events)
        if not events:
            return
        await self.conn.copy_records_to_table(
            "appointment_events", columns=EVENT_COLUMNS, records=map(event_values, events)
        )
        touched = {event.clinic_id for event in events}
        await self.conn.execute(
            _SQL["save_counters"],
            *columns(
                lambda item: (item[0], item[1].last_ticket, item[1].last_seq, item[1].line, item[1].waiting),
                [item for item in self.counters.items() if item[0] in touched],
            ),
        )

    async def _free(self, statement: str, *columns: Any) -> None:
        for row in await self.conn.fetch(_SQL[statement], *columns):
            self.freed.append((row["clinic_id"], Freed(row["provider_id"], row["start_at"], row["busy_until"])))

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
        decided = [
            (*each.key, each.known_state.status.value)
            for each in changed
            if each.known_state.decided and each.known_state.status is not Status.WAITLISTED
        ]
        if decided:
            await patients.settle(self.conn, decided)

    async def _write_waits(self) -> None:
        """Where those are now who waited, and what came of what they were offered."""
        for booking in self._placed.values():
            if not booking.known_state.keeps_doses:
                booking.doses = 0
        if self._placed:
            await self.conn.execute(_SQL["place_appointments"], *columns(placed_values, self._placed.values()))
        if self._ended_offers:
            self.groups |= await waitlist.end_offers(self.conn, self._ended_offers, self.now)
            again = [each.key for each in self._placed.values() if each.known_state.stage is Stage.WAITING]
            if again:
                await patients.wait_again(self.conn, again)
        left = [each.key for each in self._placed.values() if each.known_state.status is not Status.WAITLISTED]
        if left:
            await waitlist.leave(self.conn, left)
        self._placed, self._ended_offers = {}, []

    async def _write_ended(self) -> None:
        """What became of wishes, where moved bookings are now, and the seats that these do not need any more."""
        ended = [(*booking.key, *rest) for booking, *rest in self._ended]
        await self.conn.execute(_SQL["end_reschedules"], *zip(*ended, strict=True), self.now)
        moved = [booking for booking, _, outcome, _ in self._ended if outcome == "rescheduled"]
        if moved:
            await self.conn.execute(_SQL["move_appointments"], *columns(moved_values, moved))
            await patients.moved(self.conn, [(*each.key, each.start_at) for each in moved])
        kept = [(*booking.key, booking.known_state.revision) for booking, *_ in self._ended]
        await self._free("free_other_revisions", *zip(*kept, strict=True))
        self._ended = []
