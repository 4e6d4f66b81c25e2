"""Calls at clinics, claimed and recorded in batches: PostgreSQL is the fence between workers.

What may be called and what an answer means is decided by ``domain.call_plan`` and ``domain.call_resolution``, under
the lock of the clinic's counter row. Both functions run inside the caller's transaction and write nothing unless it
commits. Any booking may be asked for any number of times: what is finished is recognised as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, TypeGuard

import msgspec

from waiting_room.domain.call_plan import Verify, Wait, plan
from waiting_room.domain.call_resolution import resolve
from waiting_room.domain.clinic_call import BOOKS, Answer, Attempt, Booked, CallKind, Case, Change, ClinicSystem
from waiting_room.domain.directory import AdapterKind, Eligibility
from waiting_room.store import patient_keys, sql
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection

_SQL = sql.load("calls")
_asks = msgspec.json.Decoder(dict[str, Eligibility])
Key = tuple[str, str]
"""(clinic_id, booking_ref)"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A call that is this worker's to make, until its lease ends."""

    booking: Booking
    attempt: int
    kind: CallKind
    revision: int


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing may be done for ``seconds``. ``elsewhere``: another call for it is still leased."""

    seconds: float
    elsewhere: bool = False
    parked: bool = False
    """It is not to take a place in its lane until then."""
    expired: Booking | None = None
    """Given where asking found the booking past its deadline, and rejected it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """No call is left to make for this booking, if it exists at all."""

    expired: Booking | None = None
    """As in Later."""


@dataclass(frozen=True, slots=True)
class ToVerify:
    """Whether its patient may have the service is to be found out first. That needs no lease: it changes nothing."""

    booking: Booking


Claimed = Claim | ToVerify | Later | Finished


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one claimed call. ``again_seconds``: the pause before the next, should one be left to make."""

    key: Key
    attempt: int
    answer: Answer
    again_seconds: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """``again_seconds`` None: no call is left to make. ``decided``: this outcome decided the booking.

    ``first_called_at``: when the first call for it was claimed.
    """

    booking: Booking
    again_seconds: float | None
    decided: bool
    first_called_at: datetime
    next_slot: bool = False
    """Whether hold is to give it the next slot that fits."""


Lines = dict[str, tuple[int, int]]
"""By clinic: (seq, line) as of the transaction's end."""


async def load_systems(conn: Connection, clinic_ids: Iterable[str]) -> dict[str, ClinicSystem]:
    """How to reach those of these clinics that exist."""
    return {
        row["clinic_id"]: ClinicSystem(
            **{**row, "adapter": AdapterKind(row["adapter"]), "asks": _asks.decode(row["asks"] or "{}")}
        )
        for row in await conn.fetch(_SQL["load_systems"], list(clinic_ids))
    }


async def claim(
    conn: Connection, asked: Mapping[Key, str], systems: Mapping[str, ClinicSystem], lease_seconds: float
) -> tuple[dict[Key, Claimed], Lines]:
    """For each booking, the call to make now, or why none is.

    ``asked`` gives each a claimant's name that nobody has used before, but for the same question asked again because
    its commit was not seen to succeed. A lease lasts ``lease_seconds`` from a moment after the caller began to ask,
    on the database's clock. Raises KeyError for an unknown clinic.
    """
    work = await _Work.open(conn, list(asked))
    found: dict[Key, Claimed] = {}
    for key, claimant in asked.items():
        booking = work.bookings.get(key)
        if booking is None:
            found[key] = Finished()
            continue
        case = work.case(booking)
        planned = plan(case, systems[booking.clinic_id], claimant, work.now)
        if planned.closes is not None and case.open is not None:
            work.end(key, case.open.attempt, planned.closes)
        work.apply(booking, planned.changes)
        expired = booking if booking.known_state.decided and not case.state.decided else None
        match planned.step:
            case None:
                found[key] = Finished(expired)
            case Verify():
                found[key] = ToVerify(booking)
            case Wait(until=until, elsewhere=elsewhere, parked=parked):
                found[key] = Later(max((until - work.now).total_seconds(), 0.0), elsewhere, parked, expired)
            case kind:
                found[key] = work.begin(booking, kind, claimant, lease_seconds)
    await work.write()
    await patient_keys.give(conn, [each.booking for each in found.values() if _names_the_patient(each)])
    return found, work.lines


def _names_the_patient(found: Claimed) -> TypeGuard[Claim | ToVerify]:
    return isinstance(found, ToVerify) or (isinstance(found, Claim) and found.kind in BOOKS)


async def record(
    conn: Connection, outcomes: Sequence[Outcome], systems: Mapping[str, ClinicSystem]
) -> tuple[dict[Key, Recorded], Lines]:
    """Store what came of claimed calls, at most one a booking. Raises KeyError for an unknown clinic or attempt."""
    work = await _Work.open(conn, [outcome.key for outcome in outcomes])
    recorded: dict[Key, Recorded] = {}
    for outcome in outcomes:
        booking = work.bookings[outcome.key]
        resolution = resolve(
            work.case(booking),
            outcome.attempt,
            outcome.answer,
            systems[booking.clinic_id],
            work.now,
            outcome.again_seconds,
        )
        undecided = not booking.known_state.decided
        if resolution.outcome is not None:
            work.end(outcome.key, outcome.attempt, resolution.outcome)
            if isinstance(outcome.answer, Booked):
                booking.clinic_booking_id = outcome.answer.clinic_booking_id
        elif resolution.changes and isinstance(outcome.answer, Booked):
            booking.clinic_booking_id = outcome.answer.clinic_booking_id
        work.apply(booking, resolution.changes)
        again_at = resolution.again_at
        if resolution.outcome is not None or resolution.changes:
            booking.next_attempt_at = again_at
            work.journal.touch(booking)
        recorded[outcome.key] = Recorded(
            booking,
            None if again_at is None else max((again_at - work.now).total_seconds(), 0.0),
            undecided and booking.known_state.decided,
            work.attempts[outcome.key][0].claimed_at,
            resolution.next_slot,
        )
    await work.write()
    return recorded, work.lines


@dataclass(slots=True)
class _Work:
    """One transaction's bookings, their attempts, and what is to be written of both."""

    conn: Connection
    journal: Journal
    bookings: dict[Key, Booking]
    attempts: dict[Key, tuple[Attempt, ...]]
    _begun: list[tuple[Any, ...]] = field(default_factory=list)
    _ended: list[tuple[str, str, int, str]] = field(default_factory=list)

    @classmethod
    async def open(cls, conn: Connection, keys: Sequence[Key]) -> _Work:
        journal = await Journal.open(conn, {clinic_id for clinic_id, _ in keys})
        distinct = list(dict.fromkeys(keys))
        bookings = await journal.load(distinct)
        rows = await conn.fetch(
            _SQL["load_attempts"], [clinic_id for clinic_id, _ in distinct], [ref for _, ref in distinct]
        )
        attempts = {
            key: tuple(_attempt(row) for row in group)
            for key, group in groupby(rows, key=lambda row: (row["clinic_id"], row["booking_ref"]))
        }
        return cls(conn, journal, bookings, attempts)

    @property
    def now(self) -> datetime:
        return self.journal.now

    @property
    def lines(self) -> Lines:
        return {clinic_id: (each.last_seq, each.line) for clinic_id, each in self.journal.counters.items()}

    def case(self, booking: Booking) -> Case:
        return Case(
            booking.known_state,
            booking.hold_until,
            booking.next_attempt_at,
            self.attempts.get(booking.key, ()),
            booking.wish.move_until if booking.wish else None,
            must_move=booking.wish is not None and booking.wish.must_move,
            others_would_do=booking.others_would_do,
        )

    def apply(self, booking: Booking, changes: Sequence[Change]) -> None:
        for change in changes:
            self.journal.record(booking, change.event, reason=change.reason, by=change.by)

    def end(self, key: Key, attempt: int, outcome: str) -> None:
        self._ended.append((*key, attempt, outcome))

    def begin(self, booking: Booking, kind: CallKind, claimant: str, lease_seconds: float) -> Claim:
        earlier = self.attempts.get(booking.key, ())
        number = earlier[-1].attempt + 1 if earlier else 1
        lease_until = self.now + timedelta(seconds=lease_seconds)
        booking.attempts = number
        booking.next_attempt_at = lease_until
        self.journal.touch(booking)
        revision = self.case(booking).call_revision
        self._begun.append((*booking.key, number, kind.value, revision, claimant, self.now, lease_until))
        return Claim(booking, number, kind, revision)

    async def write(self) -> None:
        """Attempts that end before those that begin: a booking has one open attempt at the most."""
        await self.journal.write()
        if self._ended:
            clinic_ids, refs, numbers, outcomes = zip(*self._ended, strict=True)
            await self.conn.execute(_SQL["end_attempts"], clinic_ids, refs, numbers, outcomes, self.now)
        if self._begun:
            await self.conn.copy_records_to_table("call_attempts", columns=_BEGUN_COLUMNS, records=self._begun)


_BEGUN_COLUMNS = (
    "clinic_id", "booking_ref", "attempt", "kind", "revision", "worker_id", "claimed_at", "lease_until",
)  # fmt: skip


def _attempt(row: Any) -> Attempt:
    return Attempt(
        attempt=row["attempt"],
        kind=CallKind(row["kind"]),
        claimant=row["worker_id"],
        claimed_at=row["claimed_at"],
        lease_until=row["lease_until"],
        ended_at=row["ended_at"],
        outcome=row["outcome"],
        revision=row["revision"],
    )
