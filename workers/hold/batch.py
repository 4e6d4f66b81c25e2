"""One batch of commands, one transaction: seats claimed, refs written, losers told, offsets recorded.

Everything a batch decides is decided under the locks of its clinics' counter rows, in append order. What it finds
done already (a redelivery, a client's retry) it leaves alone and reports again, so that a crash between the commit
and the doorbell is mended by reading the records once more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from waiting_room.domain.appointment import WANTS_SEAT, By, EventType, Reason
from waiting_room.domain.booking_ref import clinic_of
from waiting_room.domain.directory import AdapterKind
from waiting_room.domain.seats import Seat, Taken, allot
from waiting_room.messages import Book, Cancel, Closure, Reschedule
from waiting_room.store import holds, moves
from waiting_room.store.holds import Claim, Rules, Window
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold import closing, identity
from workers.hold.outcome import Outcome
from workers.hold.read import Appended, Closing, Item, Marker
from workers.hold.rescheduling import Rescheduling
from workers.hold.wishes import Bookable, bookable


class Deadlines(NamedTuple):
    """From when it is held, how long a booking may wait for its clinic: usually, and where the clinic is down."""

    usual: timedelta
    in_outage: timedelta


NextOffset = Callable[[int, Collection[int]], int | None]
"""(partition, offsets that are stored now) to the one before which all is stored then, if anybody can tell."""


def _behind_the_last(_: int, stored: Collection[int]) -> int | None:
    return max(stored) + 1


class Batch:
    """Works one batch off on one connection, inside the caller's transaction."""

    def __init__(
        self,
        conn: Connection,
        rules: dict[str, Rules],
        deadlines: Deadlines,
        next_offset: NextOffset = _behind_the_last,
    ) -> None:
        self._conn = conn
        self._rules = rules
        self._deadlines = deadlines
        self._next_offset = next_offset
        self._known: dict[tuple[str, str], Booking] = {}
        self._claims: dict[tuple[str, str], Claim] = {}
        self._taken = Taken()
        self._journal: Journal
        self._moves: Rescheduling
        self._reach: list[tuple[str, str, datetime, datetime]] = []
        """(clinic_id, provider_id, from, to) of every claim that could be in the way."""
        self._consumed: dict[int, int] = {}
        self._aliases: dict[str, str] = {}
        self._forwarded: list[Cancel | Reschedule | Closure] = []

    async def work(
        self, items: Sequence[Item], *, unprocessable: bool = False, behind: Collection[tuple[int, str]] = ()
    ) -> Outcome:
        """Decide and write. ``unprocessable`` rejects every booking of the batch instead of looking for a seat.
        ``behind``: (partition, clinic_id) of which earlier items wait already.

        Raises KeyError for a clinic without a row, IllegalTransition and database errors; then nothing is written.
        """
        self._journal = await Journal.open(self._conn, {item.clinic_id for item in items})
        await self._refresh_rules()
        waiting: list[Item] = []
        ready: list[Item] = []
        for item in items:
            waits = self._waits(item) or (item.partition, item.clinic_id) in behind
            (waiting if waits and not unprocessable else ready).append(item)
        outcome = await self._decide([item for item in ready if isinstance(item, Appended)], unprocessable)
        outcome.waiting = waiting
        for item in ready:
            if isinstance(item, Closing):
                await self._close(item.closure, outcome)
        markers = [item.moved for item in ready if isinstance(item, Marker)]
        if markers:
            outcome.arrived = await moves.marker_read(self._conn, markers)
        await self._save_offsets(ready)
        return outcome

    async def _close(self, closure: Closure, outcome: Outcome) -> None:
        """In a journal of its own: what came before it in the batch is written."""
        journal = closing.own_journal(self._journal)
        moves = await Rescheduling.open(self._conn, journal, self._rules, self._deadlines.usual, [])
        closed = await closing.close(self._conn, moves, closure)
        outcome.add(*closed.touched)
        outcome.forwarded += [closure] if closed.left else []

    def _waits(self, item: Item) -> bool:
        """Whether it was read where its clinic moves to, before all was read where it comes from."""
        return self._rules[item.clinic_id].moving_to == item.partition

    async def _decide(self, items: Sequence[Appended], unprocessable: bool) -> Outcome:
        if not items:
            return self._outcome(items)
        books = [item.command for item in items if isinstance(item.command, Book)]
        elsewhere = await self._look_up(items, books)
        await self._follow_aliases(items)
        plans = {
            command.booking_ref: Reason.UNPROCESSABLE
            if unprocessable
            else bookable(command, self._rules[command.clinic_id], self._journal.now)
            for command in books
            if command.booking_ref not in elsewhere and (command.clinic_id, command.booking_ref) not in self._known
        }
        await self._plan_moves(items, books)
        self._taken = await self._read_taken(books, plans)
        for item in items:
            command = item.command
            if isinstance(command, Cancel):
                self._cancel(command)
            elif isinstance(command, Reschedule):
                self._reschedule(command)
            elif command.booking_ref not in elsewhere:
                await self._book(command, item, plans)
        await self._moves.write(self._conn)
        await self._journal.write()
        claims = [claim for claim in (*self._claims.values(), *self._moves.claims) if self._is_wanted(claim)]
        if claims:
            await holds.claim_seats(self._conn, claims)
        return self._outcome(items)

    async def _refresh_rules(self) -> None:
        """Rules are replaced under the same lock, so none can change before this transaction ends."""
        stale = [
            clinic_id
            for clinic_id, counters in self._journal.counters.items()
            if clinic_id not in self._rules or self._rules[clinic_id].version != counters.rules_version
        ]
        if stale:
            self._rules.update(await holds.load_rules(self._conn, stale))

    async def _look_up(self, items: Sequence[Appended], books: list[Book]) -> set[str]:
        """Read the bookings there are; claim the refs that are new. Refs whose key has booked under another ref."""
        self._known = await self._journal.load({item.command_key for item in items})
        self._consumed = await holds.consumed(self._conn, BOOKING_REQUESTS, {item.partition for item in items})
        return await identity.claim(self._conn, books)

    async def _follow_aliases(self, items: Sequence[Appended]) -> None:
        """Where commands lead whose ref has no row: to what the ref's key had booked before."""
        strangers = [
            item.command.booking_ref
            for item in items
            if not isinstance(item.command, Book) and item.command_key not in self._known
        ]
        if strangers:
            self._aliases = await holds.find_aliases(self._conn, strangers)

    async def _read_taken(self, books: list[Book], plans: dict[str, Bookable | Reason]) -> Taken:
        reach: dict[tuple[str, str], tuple[datetime, datetime]] = {}
        for book in books:
            plan = plans.get(book.booking_ref)
            if isinstance(plan, Bookable):
                self._reach.extend((book.clinic_id, *window) for window in plan.windows())
        for clinic_id, provider_id, from_at, to_at in self._reach:
            had = reach.setdefault((clinic_id, provider_id), (from_at, to_at))
            reach[clinic_id, provider_id] = min(had[0], from_at), max(had[1], to_at)
        if not reach:
            return Taken()
        return await holds.taken(self._conn, [Window(*whose, *when) for whose, when in reach.items()])

    async def _plan_moves(self, items: Sequence[Appended], books: list[Book]) -> None:
        commands = [item.command for item in items if isinstance(item.command, Reschedule)]
        self._moves = await Rescheduling.open(self._conn, self._journal, self._rules, self._deadlines.usual, commands)
        services = {(book.clinic_id, book.booking_ref): book.service_type for book in books} if commands else {}
        for command in commands:
            key = (command.clinic_id, command.booking_ref)
            known = self._known.get(key)
            plan = self._moves.plan(command, known.service_type if known else services.get(key))
            if plan is not None:
                self._reach.extend((command.clinic_id, *window) for window in plan.windows())

    def _is_wanted(self, claim: Claim) -> bool:
        """Whether it stands at the end of the batch: its booking was not cancelled, nor moved elsewhere, since."""
        state = self._known[claim.clinic_id, claim.booking_ref].known_state
        return state.keeps_seat and claim.revision in (state.revision, state.moving_to)

    def _leads_elsewhere(self, command: Cancel | Reschedule) -> bool:
        leads_to = self._aliases.get(command.booking_ref)
        if leads_to is not None:
            self._forwarded.append(
                msgspec.structs.replace(command, booking_ref=leads_to, clinic_id=clinic_of(leads_to))
            )
        return leads_to is not None

    def _reschedule(self, command: Reschedule) -> None:
        booking = self._known.get((command.clinic_id, command.booking_ref))
        if booking is not None:
            self._moves.move(booking, command, self._taken)
        else:
            self._leads_elsewhere(command)  # or there is nothing to move, as its caller can read

    def _cancel(self, command: Cancel) -> None:
        key = (command.clinic_id, command.booking_ref)
        booking = self._known.get(key)
        if booking is None and self._leads_elsewhere(command):
            return
        if booking is None:  # it overtook its booking; a later book of this ref will find it so
            booking = self._known[key] = Booking(
                clinic_id=command.clinic_id,
                booking_ref=command.booking_ref,
                app_id=command.app_id,
                accepted_at=command.requested_at,
            )
        elif booking.known_state.status not in WANTS_SEAT or booking.app_id != command.app_id:
            return
        self._journal.record(booking, EventType.CANCELLED, reason=command.reason, by=command.by)
        claim = self._claims.get(key)
        if claim and not booking.known_state.keeps_seat:
            self._taken.free(claim.provider_id, claim.seat, claim.start_at)

    async def _book(self, command: Book, item: Appended, plans: dict[str, Bookable | Reason]) -> None:
        key = (command.clinic_id, command.booking_ref)
        if (booking := self._known.get(key)) is not None:
            self._repeated(booking, command, item)
            return
        booking = self._known[key] = Booking(
            clinic_id=command.clinic_id,
            booking_ref=command.booking_ref,
            app_id=command.app_id,
            accepted_at=command.accepted_at,
            body_hash=command.body_hash,
            eta_p50=command.eta_p50,
            eta_p90=command.eta_p90,
        )
        plan = plans[command.booking_ref]
        if plan is not Reason.UNPROCESSABLE:  # else what was asked for may be what cannot be stored
            booking.provider_id = command.provider_id
            booking.service_type = command.service_type
            booking.start_at = command.start_at
            booking.patient_id = command.patient.id
            booking.patient = msgspec.json.encode(command.patient).decode()
        if isinstance(plan, Reason):
            self._journal.record(booking, EventType.ACCEPTED)
            self._journal.record(booking, EventType.REJECTED, reason=plan)
            return
        seat = allot(plan.candidates(), self._taken)
        if seat is None and await self._expire_dead_holds(command.clinic_id, plan):
            seat = allot(plan.candidates(), self._taken)
        self._journal.record(booking, EventType.ACCEPTED)
        if seat is None:
            self._journal.record(booking, EventType.REJECTED, reason=plan.if_none_free)
        else:
            self._hold(booking, seat)

    def _hold(self, booking: Booking, seat: Seat) -> None:
        candidate, now = seat.candidate, self._journal.now
        booking.provider_id, booking.seat = candidate.provider_id, seat.seat
        booking.start_at, booking.end_at = candidate.start_at, candidate.end_at
        booking.held_at = now
        booking.hold_until = min(now + self._deadlines.usual, candidate.start_at)
        booking.decide_by = min(now + self._deadlines.in_outage, candidate.start_at)
        booking.ticket = self._journal.next_ticket(booking.clinic_id)
        self._claims[booking.key] = Claim(
            booking.clinic_id,
            candidate.provider_id,
            seat.seat,
            candidate.start_at,
            candidate.busy_until,
            booking.booking_ref,
            booking.known_state.revision,
        )
        self._journal.record(booking, EventType.HELD)
        if self._rules[booking.clinic_id].adapter is AdapterKind.BUILTIN:
            self._journal.record(booking, EventType.CONFIRMED)

    def _repeated(self, booking: Booking, command: Book, item: Appended) -> None:
        """The first body wins; that another came under the same key shows in the history, once a record."""
        read_before = item.offset < self._consumed.get(item.partition, 0)
        if not read_before and booking.body_hash != command.body_hash:
            self._journal.record(booking, EventType.REPEATED)

    async def _expire_dead_holds(self, clinic_id: str, plan: Bookable) -> bool:
        """Reject the clinic's dead holds, in case they are in the way; whether any seat came free."""
        dead = await holds.dead_holds(self._conn, [clinic_id], self._journal.now)
        dead = [key for key in dead if key not in self._known]
        if not dead:
            return False
        for key, booking in (await self._journal.load(dead)).items():
            self._known[key] = booking
            self._journal.record(booking, EventType.REJECTED, reason=Reason.CLINIC_UNAVAILABLE, by=By.SERVICE)
            if booking.provider_id and booking.seat is not None and booking.start_at:
                self._taken.free(booking.provider_id, booking.seat, booking.start_at)
        return True

    async def _save_offsets(self, items: Sequence[Item]) -> None:
        """Before them all is in the database: what waits, or is another part of a batch that was split, is not."""
        stored: dict[int, set[int]] = {}
        for item in items:
            stored.setdefault(item.partition, set()).add(item.offset)
        offsets = {partition: self._next_offset(partition, offsets) for partition, offsets in stored.items()}
        known = {partition: offset for partition, offset in offsets.items() if offset is not None}
        if known:
            await holds.save_consumed(self._conn, BOOKING_REQUESTS, known)

    def _outcome(self, items: Sequence[Appended]) -> Outcome:
        lines = {clinic_id: (each.last_seq, each.line) for clinic_id, each in self._journal.counters.items()}
        outcome = Outcome(forwarded=self._forwarded, lines=lines)
        for key in dict.fromkeys(item.command_key for item in items):
            if key in self._known:
                outcome.add(self._known[key])
        return outcome
