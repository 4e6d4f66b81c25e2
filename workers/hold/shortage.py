"""Doses are short, and some are there that will not do on the day of whoever wants them: they go where these will.

Whoever could be given a dose for the day they have has got it by now. Lots expire: one that is gone by that day may
have doses left for the days before. The last to have booked are moved first, to the earliest fitting slot at which a
lot has what they are short of, from NOTICE on. Whoever finds none keeps the appointment, and stays first in line for
what comes in.
"""

from __future__ import annotations

from hashlib import sha256

from waiting_room.domain.appointment import Reason
from waiting_room.messages import Shortage, TimeRange
from waiting_room.store import holds, offering, stock
from waiting_room.store.journal import Booking
from waiting_room.store.pool import Connection
from workers.hold.closing import LOOK_AHEAD, NOTICE, MovedAway, taken_around
from workers.hold.rescheduling import Rescheduling, Wanted
from workers.hold.wishes import Bookable, bookable

ROUND_MAX = 100
"""Bookings looked at in one transaction."""


async def rebook(conn: Connection, moves: Rescheduling, shortage: Shortage) -> MovedAway:
    """Move up to ROUND_MAX bookings; with the clinic's lock, after everything else of its batch is written.

    ``moves`` is its own: its journal writes what happens here. A command that is read again finds those it has moved
    short no more.
    """
    missing = await stock.movable(conn, shortage.clinic_id, shortage.product, ROUND_MAX)
    if not missing:
        return MovedAway()
    bookings = await moves.journal.load(missing)
    plans = {key: _plan(booking, moves) for key, booking in bookings.items()}
    await moves.recall(conn, missing)
    await moves.patients.read_apart(bookings.values(), moves.rules[shortage.clinic_id])
    await moves.doses.read_missing(missing)
    taken = await taken_around(conn, shortage.clinic_id, plans.values())
    mark = sha256(f"shortage {shortage.product} {shortage.requested_at.isoformat()}".encode()).digest()
    moved = [
        bookings[key]
        for key in missing
        if moves.move_away(bookings[key], plans[key], taken, mark, for_want_of=shortage.product) is None
    ]
    await moves.write(conn)
    await moves.journal.write(give=False)
    if moves.claims:
        await holds.claim_seats(conn, moves.claims)
    await moves.doses.write(bookings, ())
    await offering.give(moves.journal, moves.rules)
    return MovedAway(moved, left=len(moved) == ROUND_MAX)


def _plan(booking: Booking, moves: Rescheduling) -> Bookable | Reason:
    from_at = moves.journal.now + NOTICE
    wanted = Wanted(booking.service_type or "", None, None, TimeRange(from_at, from_at + LOOK_AHEAD))
    return bookable(wanted, moves.rules[booking.clinic_id], moves.journal.now)
