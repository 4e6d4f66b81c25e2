"""One batch of commands, one transaction: seats claimed, refs written, losers told, offsets recorded.

Everything a batch decides is decided under the locks of its clinics' counter rows, in append order. What it finds
done already (a redelivery, a client's retry) it leaves alone and reports again, so that a crash between the commit
and the doorbell is mended by reading the records once more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from waiting_room.domain import eligibility
from waiting_room.domain.appointment import CANCELLABLE, EventType, Reason, Status
from waiting_room.domain.booking_ref import clinic_of
from waiting_room.domain.deadlines import Deadlines as Deadlines
from waiting_room.domain.seats import Seat, Taken, allot
from waiting_room.messages import Book, Cancel, Closure, Reschedule, Shortage
from waiting_room.store import holds, moves, offering
from waiting_room.store.holds import Claim, Rules
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection
from waiting_room.taken_marks import Start
from workers.hold import closing, identity, shortage
from workers.hold.dead_holds import expire_dead_holds
from workers.hold.doses import Doses
from workers.hold.full import full_starts
from workers.hold.outcome import Outcome
from workers.hold.patients import Known, Patients
from workers.hold.reach import Reach
from workers.hold.read import Appended, Item, Marker, MovingAway
from workers.hold.rescheduling import Rescheduling
from workers.hold.stored import NextOffset, behind_the_last, consumed_before, save_offsets
from workers.hold.waiters import Waiters
from workers.hold.wishes import Bookable, bookable, booking_for, cancel_refused


class Batch:
    """Works one batch off on one connection, inside the caller's transaction."""

    def __init__(
        self,
        conn: Connection,
        rules: dict[str, Rules],
        deadlines: Deadlines,
        whom: Known,
        next_offset: NextOffset = behind_the_last,
    ) -> None:
        self._conn = conn
        self._rules = rules
        self._deadlines = deadlines
        self._next_offset = next_offset
        self._known: dict[tuple[str, str], Booking] = {}
        self._claims: dict[tuple[str, str], Claim] = {}
        self._taken = Taken()
        self._doses = Doses(conn)
        self._patients = Patients(conn, whom)
        self._journal: Journal
        self._moves: Rescheduling
        self._reach = Reach()
        self._waiters = Waiters()
        self._consumed: dict[int, int] = {}  # read where any command may have been read before
        self._full: set[Start] = set()
        self._aliases: dict[str, str] = {}
        self._forwarded: list[Cancel | Reschedule | Closure | Shortage] = []

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
            where = item.partition, item.clinic_id
            waits = self._rules[item.clinic_id].moving_to == item.partition or where in behind
            (waiting if waits and not unprocessable else ready).append(item)
        outcome = await self._decide([item for item in ready if isinstance(item, Appended)], unprocessable)
        outcome.waiting = waiting
        for item in ready:
            if isinstance(item, MovingAway):
                await self._move_away(item.why, outcome)
        markers = [item.moved for item in ready if isinstance(item, Marker)]
        if markers:
            outcome.arrived = await moves.marker_read(self._conn, markers)
        await save_offsets(self._conn, ready, self._next_offset)
        return outcome

    async def _move_away(self, why: Closure | Shortage, outcome: Outcome) -> None:
        """In a journal of its own: what came before it in the batch is written."""
        journal = closing.own_journal(self._journal)
        own = Doses(self._conn), Patients(self._conn, self._patients.known)
        moves = await Rescheduling.open(self._conn, journal, self._rules, self._deadlines.usual, [], *own)
        if isinstance(why, Closure):
            moved = await closing.close(self._conn, moves, why)
        else:
            moved = await shortage.rebook(self._conn, moves, why)
        outcome.add(*moved.touched)
        outcome.forwarded += [why] if moved.left else []

    async def _decide(self, items: Sequence[Appended], unprocessable: bool) -> Outcome:
        if not items:
            return self._outcome(items)
        self._known = await self._journal.load(keys := {item.command_key for item in items})
        if self._known or len(keys) < len(items):
            self._consumed = await consumed_before(self._conn, items)
        items, elsewhere, self._aliases = await identity.find(self._conn, items, self._known)
        books = [item.command for item in items if isinstance(item.command, Book)]
        plans = {
            command.booking_ref: Reason.UNPROCESSABLE
            if unprocessable or command.patient is None
            else bookable(command, self._rules[command.clinic_id], self._journal.now)
            for command in reversed(books)  # of several with one ref the first counts
            if command.booking_ref not in elsewhere and (command.clinic_id, command.booking_ref) not in self._known
        }
        moving = await self._plan_moves(items, books)
        wanted = [(book, plan) for book in books if isinstance(plan := plans.get(book.booking_ref), Bookable)]
        for book, plan in wanted:
            self._reach.add(book.clinic_id, plan.windows())
        self._taken = await self._reach.taken(self._conn)
        await self._doses.read(((book.clinic_id, plan.service) for book, plan in wanted), moving)
        told = [] if unprocessable else [book for book in books if book.booking_ref in plans]
        await self._patients.read(told, moving)
        for item in items:
            command = item.command
            if isinstance(command, Cancel):
                self._cancel(command, item)
            elif isinstance(command, Reschedule):
                self._reschedule(command)
            elif command.booking_ref not in elsewhere:
                await self._book(command, item, plans)
        await self._moves.write(self._conn)
        await self._journal.write(give=False)
        keeping = [key for key in self._claims if self._known[key].known_state.keeps_seat]
        claims = [claim for claim in (*self._claims.values(), *self._moves.claims) if self._is_wanted(claim)]
        if claims:
            await holds.claim_seats(self._conn, claims)
        await self._doses.write(self._known, keeping)
        await self._patients.write()
        await self._waiters.write(self._conn)
        await offering.give(self._journal, self._rules)
        return self._outcome(items)

    async def _refresh_rules(self) -> None:
        """Rules are replaced under the same lock, so none can change before this transaction ends."""
        stale = [
            clinic_id
            for clinic_id, counters in self._journal.counters.items()
            if (had := self._rules.get(clinic_id)) is None or had.is_stale(counters.rules_version, self._journal.now)
        ]
        if stale:
            self._rules.update(await holds.load_rules(self._conn, stale))

    async def _plan_moves(self, items: Sequence[Appended], books: list[Book]) -> list[Booking]:
        """The bookings that are to be moved, as far as there are any before this batch."""
        commands = [item.command for item in items if isinstance(item.command, Reschedule)]
        self._moves = await Rescheduling.open(
            self._conn, self._journal, self._rules, self._deadlines.usual, commands, self._doses, self._patients
        )
        services = {(book.clinic_id, book.booking_ref): book.service_type for book in books} if commands else {}
        moving = []
        for command in commands:
            key = (command.clinic_id, command.booking_ref)
            known = self._known.get(key)
            plan = self._moves.plan(command, known.service_type if known else services.get(key))
            if plan is not None:
                self._reach.add(command.clinic_id, plan.windows())
            if known is not None:
                moving.append(known)
        return moving

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

    def _cancel(self, command: Cancel, item: Appended) -> None:
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
        elif (
            booking.known_state.status not in CANCELLABLE
            or booking.app_id != command.app_id
            or (command.only_waiting and booking.known_state.status is not Status.WAITLISTED)
        ):
            return
        elif cancel_refused(booking, self._rules[command.clinic_id], command):
            if not self._read_before(item):
                self._journal.record(booking, EventType.CANCEL_REFUSED)
            return
        self._journal.record(booking, EventType.CANCELLED, reason=command.reason, by=command.by)
        self._patients.drop(booking)
        claim = self._claims.get(key)
        if claim and not booking.known_state.keeps_seat:
            if self._is_waited_for(key[0]):
                self._journal.freed.append((key[0], claim.freed))  # theirs, not the next one's in this batch
            else:
                self._taken.free(claim.provider_id, claim.seat, claim.start_at)
                self._doses.give_back(key)

    async def _book(self, command: Book, item: Appended, plans: dict[str, Bookable | Reason]) -> None:
        key = (command.clinic_id, command.booking_ref)
        if (booking := self._known.get(key)) is not None:
            self._repeated(booking, command, item)
            return
        plan = plans[command.booking_ref]
        booking = self._known[key] = booking_for(command, storable=plan is not Reason.UNPROCESSABLE)
        self._patients.seal(booking, command)
        if isinstance(plan, Bookable):
            plan = self._patients.allow(command, plan, self._rules[command.clinic_id])
        seat = self._allot(key, plan)
        # What dead holds have belongs to who waits, if anybody does; sweep will come for them.
        in_the_way = isinstance(seat, Reason) and isinstance(plan, Bookable) and not self._is_waited_for(key[0])
        if in_the_way and await self._expire_dead_holds(key[0]):
            seat = self._allot(key, plan)
        self._full.update(full_starts(plan, seat, self._taken))
        self._journal.record(booking, EventType.ACCEPTED)
        if not isinstance(seat, Reason):
            self._hold(booking, seat)
        elif command.or_wait and isinstance(plan, Bookable):
            self._waiters.add(booking, plan, self._journal, self._patients, self._rules[key[0]])
        else:
            self._journal.record(booking, EventType.REJECTED, reason=seat)

    def _is_waited_for(self, clinic_id: str) -> bool:
        """Whether a seat that comes free there is somebody's who waits for one."""
        return self._journal.counters[clinic_id].waiting > 0

    def _allot(self, key: tuple[str, str], plan: Bookable | Reason) -> Seat | Reason:
        """The first free seat and what an appointment on it consumes, or what is not there. If no dose is left for the
        first free seat, none is for a later one: lots expire.
        """
        if isinstance(plan, Reason):
            return plan
        seat = allot(plan.candidates(), self._taken)
        if seat is None:
            return plan.if_none_free
        candidate = seat.candidate
        if not self._doses.take(key, plan.service, candidate.start_at, plan.timezone):
            self._taken.free(candidate.provider_id, seat.seat, candidate.start_at)
            return Reason.OUT_OF_STOCK
        return seat

    def _hold(self, booking: Booking, seat: Seat) -> None:
        candidate, now = seat.candidate, self._journal.now
        booking.provider_id, booking.seat = candidate.provider_id, seat.seat
        booking.start_at, booking.end_at = candidate.start_at, candidate.end_at
        booking.held_at = now
        booking.hold_until = self._deadlines.hold_until(now, candidate.start_at)
        booking.decide_by = self._deadlines.decide_by(now, candidate.start_at)
        booking.ticket = self._journal.next_ticket(booking.clinic_id)
        booking.doses = self._doses.number(booking.key)
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
        rules = self._rules[booking.clinic_id]
        follows = eligibility.first_event(rules.service_types[booking.service_type or ""].eligibility, rules.adapter)
        if follows is not None:
            self._journal.record(booking, follows)
        self._patients.take(booking, rules, decided=booking.known_state.decided)

    def _repeated(self, booking: Booking, command: Book, item: Appended) -> None:
        """The first body wins; that another came under the same key shows in the history, once a record."""
        if not self._read_before(item) and booking.body_hash != command.body_hash:
            self._journal.record(booking, EventType.REPEATED)

    def _read_before(self, item: Appended) -> bool:
        return item.offset < self._consumed.get(item.partition, 0)

    async def _expire_dead_holds(self, clinic_id: str) -> bool:
        """Whether any seat or dose came free."""
        return await expire_dead_holds(
            self._conn, clinic_id, self._journal, self._known, self._taken, self._doses, self._patients
        )

    def _outcome(self, items: Sequence[Appended]) -> Outcome:
        lines = {clinic_id: (each.last_seq, each.line) for clinic_id, each in self._journal.counters.items()}
        outcome = Outcome(self._journal.now, forwarded=self._forwarded, lines=lines, full=self._full)
        for key in dict.fromkeys(item.command_key for item in items):
            if key in self._known:
                outcome.add(self._known[key])
        return outcome
