"""What time does to those who wait for a seat: offers end, wishes pass or are in vain, and seats come free that nobody
gave up.

None of it is needed for an answer to be right: an offer that has run out is not accepted, whether it was ended or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from waiting_room.store import offering, waitlist
from waiting_room.store.faults import is_contention, passes
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Pool
from waiting_room.store.waitlist import Key
from waiting_room.telemetry import metrics
from workers.sweep.by_clinic import by_clinic, leave_out

log = structlog.get_logger(__name__)

BATCH_MAX = 200
LOOK_EVERY_SECONDS = 30.0
LOOKS_A_ROUND = 200
"""Clinics: the round has more to do, and holds that run out."""
COUNT_EVERY_SECONDS = 5.0


async def lapse(pool: Pool) -> int:
    """Up to BATCH_MAX offers that ran out; how many. Each seat is the next one's. Raises database errors."""
    async with pool.acquire() as conn:
        keys = await waitlist.expired(conn, BATCH_MAX)
    return await by_clinic(keys, partial(_end, pool, offering.lapse, "offer_expired"))


async def end_waits(pool: Pool) -> int:
    """Up to BATCH_MAX who wait for a time that has passed; how many. Raises database errors."""
    async with pool.acquire() as conn:
        keys = await waitlist.over(conn, BATCH_MAX)
    return await by_clinic(keys, partial(_end, pool, offering.end_waits, "wait_over"))


async def _end(
    pool: Pool,
    end: Callable[[Journal, Sequence[Key]], Awaitable[list[Booking]]],
    what: str,
    keys: Sequence[Key],
) -> int:
    async with pool.acquire() as conn, conn.transaction():
        ended = await end(await Journal.open(conn, {clinic_id for clinic_id, _ in keys}), keys)
    metrics.SWEPT.labels(what).inc(len(ended))
    for booking in ended:
        log.info(what, clinic_id=booking.clinic_id, booking_ref=booking.booking_ref)
    return len(ended)


class Looking:
    """Looks every LOOK_EVERY_SECONDS at each clinic where anybody waits, more rarely where there are very many: for
    what is free by now, and for who waits in vain.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._next_at: dict[str, float] = {}
        self._count_at = float("-inf")

    async def look(self) -> None:
        """Offer what is free by now, at up to LOOKS_A_ROUND clinics. Raises what passes; a clinic that is locked waits
        for the next look.
        """
        now = asyncio.get_running_loop().time()
        if self._count_at <= now:
            self._count_at = now + COUNT_EVERY_SECONDS
            await self._count(now)
        due = sorted((at, clinic_id) for clinic_id, at in self._next_at.items() if at <= now)
        for _, clinic_id in due[:LOOKS_A_ROUND]:
            self._next_at[clinic_id] = now + LOOK_EVERY_SECONDS
            try:
                await self._look_at(clinic_id)
            except Exception as error:
                if is_contention(error):
                    log.info("clinic_busy", clinic_id=clinic_id)
                elif passes(error):
                    raise
                else:
                    leave_out(clinic_id, "seats", error)

    async def _count(self, now: float) -> None:
        """Where anybody waits, and how many do."""
        async with self._pool.acquire() as conn:
            clinics = await waitlist.clinics_waited_for(conn)
        self._next_at = {each.clinic_id: self._next_at.get(each.clinic_id, now) for each in clinics}
        asked = sum(each.asked for each in clinics)
        metrics.WAITLISTED.labels("asked").set(asked)
        metrics.WAITLISTED.labels("waiting").set(sum(each.waiting for each in clinics) - asked)

    async def _look_at(self, clinic_id: str) -> None:
        async with self._pool.acquire() as conn:
            in_vain = await waitlist.unoffered(conn, clinic_id, BATCH_MAX)
        await by_clinic(in_vain, partial(_end, self._pool, offering.end_in_vain, "wait_in_vain"))
        async with self._pool.acquire() as conn, conn.transaction():
            journal = await Journal.open(conn, [clinic_id])
            await offering.look(journal, clinic_id)
        if journal.events:
            metrics.SWEPT.labels("seat_found").inc(len(journal.events))
            log.info("seats_found", clinic_id=clinic_id, offers=len(journal.events))
