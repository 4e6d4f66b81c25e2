"""Asks clinics' own systems what has happened there beside us: bookings by phone, bookings of ours that they cancelled.

Beside the lanes: it takes none of a clinic's calls, and a clinic that does not answer is asked ever more rarely, which
delays nobody else. Any worker may ask any clinic, one at a time does; should two, the second's answer is not taken
over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import structlog

from clinic_adapter.errors import ClinicError
from clinic_adapter.factory import gateway_to
from clinic_adapter.gateway import Gateway
from clinic_adapter.transport import Transport
from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.domain.clinic_changes import Changes, as_one
from waiting_room.store import calls, clinic_changes
from waiting_room.store.clinic_changes import Applied, Due
from waiting_room.store.faults import is_contention, passes
from waiting_room.store.pool import Pool
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics

log = structlog.get_logger(__name__)
AT_ONCE = 16
"""Clinics that one worker asks at a time."""
LOOK_SECONDS = 1.0
PAGES_MAX = 400
RARELY_SECONDS = 300.0
"""A clinic that does not answer is asked so often in the end."""
TRIES = 5


class ClinicChanges:
    """``transport`` is its own: no confirming call waits for it. ``call_seconds``: the deadline of one question."""

    def __init__(self, pool: Pool, transport: Transport, every_seconds: float, call_seconds: float) -> None:
        self._pool = pool
        self._transport = transport
        self._every_seconds = every_seconds
        self._lease_seconds = max(every_seconds, 3 * call_seconds)
        self._asking: dict[str, asyncio.Task[None]] = {}
        """By clinic."""

    async def run(self, finish: asyncio.Event) -> None:
        """Until told to finish; clinics that are just being asked then are asked again by others. Faults of PostgreSQL
        that pass are left to the next look.
        """
        try:
            while not finish.is_set():
                self._let_go_of_the_asked()
                try:
                    is_full = await self._begin(AT_ONCE - len(self._asking))
                except Exception as error:
                    if not passes(error):
                        raise
                    log.warning("changes_not_read", error=type(error).__name__)
                    is_full = False
                if is_full:  # more may be due, but none waits for the slowest of these
                    await asyncio.wait(self._asking.values(), timeout=LOOK_SECONDS)
                else:
                    await pause(finish, min(LOOK_SECONDS, self._every_seconds))
        finally:
            for task in self._asking.values():
                task.cancel()
            await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _begin(self, room: int) -> bool:
        """Ask those that are due, as far as there is room; whether there was not more. Raises database errors."""
        if room == 0:
            return True
        async with self._pool.acquire() as conn:
            due = await clinic_changes.claim(conn, room, self._lease_seconds)
            systems = await calls.load_systems(conn, [each.clinic_id for each in due]) if due else {}
        for each in due:
            if each.clinic_id not in self._asking:  # or it takes longer to tell all than it is ours to ask
                asking = self._ask(each, systems[each.clinic_id])
                self._asking[each.clinic_id] = asyncio.create_task(asking, name=f"changes of {each.clinic_id}")
        return len(due) == room

    def _let_go_of_the_asked(self) -> None:
        for clinic_id in [name for name, task in self._asking.items() if task.done()]:
            self._asking.pop(clinic_id).result()

    async def _ask(self, due: Due, system: ClinicSystem) -> None:
        """Faults end here, ours too: the clinic is asked again later, and no other suffers from what it says."""
        try:
            changes = await self._read(due, gateway_to(system, self._transport))
            if changes is None:
                # From the beginning, at once: unless it does not even know what it has just said.
                await self._failed(due, anew=due.cursor is not None)
                log.warning("changes_read_anew", clinic_id=due.clinic_id)
                return
            applied = await self._apply(due, changes)
        except (ClinicError, ValueError) as error:
            await self._failed(due, anew=False)
            log.warning("clinic_tells_no_changes", clinic_id=due.clinic_id, error=str(error))
            return
        except Exception as error:
            if passes(error):
                log.warning("changes_not_stored", clinic_id=due.clinic_id, error=type(error).__name__)
                return
            await self._failed(due, anew=False)
            log.error("changes_left_out", clinic_id=due.clinic_id, exc_info=error)
            return
        metrics.CLINIC_CHANGES.labels("read").inc()
        if applied is not None:
            _report(due.clinic_id, applied)

    async def _read(self, due: Due, gateway: Gateway) -> Changes | None:
        """All parts as one; None where the cursor is not known there any more. Raises ClinicError, ValueError."""
        pages = [page async for page in _pages(gateway, due.cursor)]
        return as_one(each for each in pages if each is not None) if None not in pages else None

    async def _apply(self, due: Due, changes: Changes) -> Applied | None:
        """Raises database errors; where others hold the clinic it is tried again."""
        for more in range(TRIES - 1, -1, -1):
            try:
                async with self._pool.acquire() as conn, conn.transaction():
                    return await clinic_changes.apply(conn, due, changes, self._every_seconds)
            except Exception as error:
                if not (more and is_contention(error)):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _failed(self, due: Due, *, anew: bool) -> None:
        metrics.CLINIC_CHANGES.labels("anew" if anew else "failed").inc()
        after = 0.0 if anew else self._every_seconds
        try:
            async with self._pool.acquire() as conn:
                await clinic_changes.failed(conn, due.clinic_id, after, RARELY_SECONDS, anew=anew)
        except Exception as error:
            if not passes(error):
                raise


async def _pages(gateway: Gateway, after: str | None) -> AsyncIterator[Changes | None]:
    """Raises ClinicError; ValueError where it does not come to an end."""
    for _ in range(PAGES_MAX):
        page = await gateway.changes(after)
        yield page
        if page is None or not page.more:
            return
        after = page.cursor
    raise ValueError(f"more than {PAGES_MAX} parts")


def _report(clinic_id: str, applied: Applied) -> None:
    for booking in applied.cancelled:
        log.info("cancelled_at_clinic", clinic_id=clinic_id, booking_ref=booking.booking_ref)
    if applied.left_out:
        log.warning("busy_at_unknown_providers", clinic_id=clinic_id, busy_times=applied.left_out)
    if applied.busy or applied.gone:
        log.info("changes_taken_over", clinic_id=clinic_id, busy=applied.busy, gone=applied.gone)
