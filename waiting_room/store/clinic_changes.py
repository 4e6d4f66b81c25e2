"""What clinics' own systems say has happened there: asked for by one worker at a time, taken over in one transaction.

The time for which a clinic is one worker's to ask only saves asking twice. What keeps the order is the cursor: an
answer is taken over if it was asked for after the one that is stored, under the clinic's lock, and never else.
"""

from __future__ import annotations

from typing import NamedTuple

from waiting_room.domain.appointment import ClinicState, EventType
from waiting_room.domain.clinic_changes import SOURCE, Changes, is_off
from waiting_room.store import sql
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection

_SQL = sql.load("clinic_changes")


class Due(NamedTuple):
    """A clinic to be asked what has changed since ``cursor``; None: for all there is."""

    clinic_id: str
    cursor: str | None


class Applied(NamedTuple):
    """``left_out``: busy times at providers that we do not know."""

    busy: int
    gone: int
    cancelled: tuple[Booking, ...]
    left_out: int


async def claim(conn: Connection, limit: int, lease_seconds: float) -> list[Due]:
    """Clinics that are this worker's to ask for so long."""
    rows = await conn.fetch(_SQL["claim"], limit, lease_seconds)
    return [Due(row["clinic_id"], row["mark"]) for row in rows]


async def failed(conn: Connection, clinic_id: str, after_seconds: float, max_seconds: float, *, anew: bool) -> None:
    """Nothing was learnt. ``anew``: the clinic does not know the cursor any more, so all there is has to be read."""
    await conn.execute(_SQL["failed"], clinic_id, after_seconds, max_seconds, anew)


async def apply(conn: Connection, due: Due, changes: Changes, again_seconds: float) -> Applied | None:
    """Take over what was asked for after ``due.cursor``; None where somebody else has gone on from there by now.

    Inside the caller's transaction. Busy times first: a seat that comes free by a cancel is given to who waits for it
    as the clinic sees the time now.
    """
    journal = await Journal.open(conn, [due.clinic_id])
    if await conn.fetchval(_SQL["cursor"], due.clinic_id) != due.cursor:
        return None
    left_out = await _put_busy(conn, due, changes)
    cancelled = await _cancel(journal, due.clinic_id, changes)
    await journal.write()
    await conn.execute(_SQL["applied"], due.clinic_id, changes.cursor, again_seconds)
    return Applied(len(changes.busy) - left_out, len(changes.gone), cancelled, left_out)


async def _put_busy(conn: Connection, due: Due, changes: Changes) -> int:
    """How many are at providers that we do not know."""
    whole = due.cursor is None
    if not (whole or changes.busy or changes.gone):
        return 0
    over = [*changes.gone, *(each.busy_id for each in changes.busy)]
    await conn.execute(_SQL["delete_busy"], due.clinic_id, SOURCE, whole, over)
    put = 0
    if changes.busy:
        rows = [(each.provider_id, each.busy_id, each.from_at, each.to_at, each.seats) for each in changes.busy]
        put = int((await conn.execute(_SQL["put_busy"], due.clinic_id, SOURCE, *zip(*rows, strict=True))).split()[-1])
    await conn.execute(_SQL["renew_busy"], due.clinic_id)
    return len(changes.busy) - put


async def _cancel(journal: Journal, clinic_id: str, changes: Changes) -> tuple[Booking, ...]:
    """What the clinic had and has no more needs no withdrawal; what it was being asked for is found out first."""
    said = {(clinic_id, each.booking_ref): each for each in changes.cancelled}
    bookings = await journal.load(said) if said else {}
    cancelled = tuple(each for key, each in bookings.items() if is_off(each.known_state, said[key].revision))
    for booking in cancelled:
        there = said[booking.key]
        journal.record(booking, EventType.CANCELLED, reason=there.reason, by=there.who)
        if booking.known_state.clinic_state is ClinicState.WITHDRAWING:
            journal.record(booking, EventType.WITHDRAWN)
    return cancelled
