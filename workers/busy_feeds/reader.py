"""Reads the calendars that providers are subscribed to, each every so often; what they say is busy is busy here.

A task of sweep, beside its rounds, which wait for no server elsewhere. Several sweeps share the work. Whatever cannot
be fetched, read or stored changes nothing: what was read last stands, and its clinic is told why.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from waiting_room.domain.busy_feeds import WHOLE_DAYS, WHOLE_SECONDS, Seen, again_seconds, digest_of
from waiting_room.envelope import CannotOpen, Envelope
from waiting_room.ics import Job, Unreadable
from waiting_room.ics_process import WITHIN_SECONDS, expand
from waiting_room.settings import Settings
from waiting_room.store import busy_feeds
from waiting_room.store.busy_feeds import Due, Stored
from waiting_room.store.faults import is_contention, passes
from waiting_room.store.pool import Pool
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics
from workers.busy_feeds.fetch import Fetcher, NotFetched

log = structlog.get_logger(__name__)
AT_ONCE: Final = 8
"""Calendars that one sweep fetches at a time."""
LOOK_SECONDS: Final = 1.0
TRIES: Final = 5
MARGIN_SECONDS: Final = 30.0

OUTCOMES: Final = ("changed", "unchanged", "failed")
for _outcome in OUTCOMES:
    metrics.BUSY_FEEDS.labels(_outcome)  # none so far is a number, too


class BusyFeeds:
    """``fetcher`` and ``envelope`` outlive it."""

    def __init__(self, settings: Settings, pool: Pool, fetcher: Fetcher, envelope: Envelope) -> None:
        self._settings = settings
        self._pool = pool
        self._fetcher = fetcher
        self._envelope = envelope
        # All that are read at once may be expanded one after the other.
        self._lease_seconds = settings.busy_feed_timeout_seconds + AT_ONCE * WITHIN_SECONDS + MARGIN_SECONDS
        self._one_at_a_time = asyncio.Semaphore(1)
        self._reading: set[asyncio.Task[None]] = set()

    async def run(self, finish: asyncio.Event) -> None:
        """Until told to finish; what is just being read then is read again by others. Faults of PostgreSQL that pass
        are left to the next look.
        """
        try:
            while not finish.is_set():
                self._let_go_of_the_read()
                try:
                    is_full = await self._begin(AT_ONCE - len(self._reading))
                except Exception as error:
                    if not passes(error):
                        raise
                    log.warning("busy_feeds_not_found", error=type(error).__name__)
                    is_full = False
                if is_full:
                    await asyncio.wait(self._reading, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await pause(finish, min(LOOK_SECONDS, self._settings.busy_feed_seconds))
        finally:
            for task in self._reading:
                task.cancel()
            await asyncio.gather(*self._reading, return_exceptions=True)

    async def _begin(self, room: int) -> bool:
        """Read those that are due, as far as there is room; whether there was not more. Raises database errors."""
        if room == 0:
            return True
        async with self._pool.acquire() as conn:
            due = await busy_feeds.claim(conn, room, self._lease_seconds, WHOLE_SECONDS)
        self._reading |= {
            asyncio.create_task(self._read(each), name=f"busy feed of {each.provider_id}") for each in due
        }
        return len(due) == room

    def _let_go_of_the_read(self) -> None:
        for task in [each for each in self._reading if each.done()]:
            self._reading.remove(task)
            task.result()

    async def _read(self, due: Due) -> None:
        """Faults end here, ours too: no other calendar suffers from one."""
        again = again_seconds(self._settings.busy_feed_seconds, 0, random.random())
        try:
            stored = await self._take_over(due, again)
        except NotFetched as error:
            await self._failed(due, str(error))
        except Unreadable as error:
            await self._failed(due, f"It is no calendar that can be read: {error.safe}.")
        except CannotOpen:
            await self._failed(due, "Its address cannot be opened here: put it again.")
        except Exception as error:
            if passes(error):
                log.warning("busy_feed_not_stored", provider_id=due.provider_id, error=type(error).__name__)
                return
            log.error("busy_feed_left_out", provider_id=due.provider_id, exc_info=error)
            await self._failed(due, "What it says cannot be stored.")
        else:
            _report(due, stored)

    async def _take_over(self, due: Due, again: float) -> Stored | None:
        """None where it is what it was. Raises NotFetched, Unreadable, CannotOpen and database errors."""
        url = self._envelope.open(due.sealed, busy_feeds.about(due.provider_id)).decode()
        fetched = await self._fetcher.get(url, due.seen)
        digest = due.seen.digest if fetched is None else digest_of(fetched.calendar)
        if fetched is None or digest == due.seen.digest:
            async with self._pool.acquire() as conn:
                await busy_feeds.unchanged(conn, due, again)
            return None
        now = datetime.now(UTC)
        until = now + timedelta(days=self._settings.book_ahead_max_days + WHOLE_DAYS)
        async with self._one_at_a_time:
            spans = await expand(Job(fetched.calendar, due.timezone, now - timedelta(days=1), until))
        seen = Seen(fetched.etag, fetched.last_modified, digest)
        for more in range(TRIES - 1, -1, -1):
            try:
                async with self._pool.acquire() as conn, conn.transaction():
                    return await busy_feeds.store(conn, due, spans, seen, again)
            except Exception as error:
                if not (more and is_contention(error)):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _failed(self, due: Due, why: str) -> None:
        metrics.BUSY_FEEDS.labels("failed").inc()
        log.warning("busy_feed_failed", clinic_id=due.clinic_id, provider_id=due.provider_id, host=due.host, error=why)
        again = again_seconds(self._settings.busy_feed_seconds, due.failures + 1, random.random())
        try:
            async with self._pool.acquire() as conn:
                await busy_feeds.failed(conn, due, why, again)
        except Exception as error:
            if not passes(error):
                raise


def _report(due: Due, stored: Stored | None) -> None:
    changed = stored is not None and stored.changed
    metrics.BUSY_FEEDS.labels("changed" if changed else "unchanged").inc()
    if stored is not None and changed:
        log.info(
            "busy_feed_read",
            clinic_id=due.clinic_id,
            provider_id=due.provider_id,
            host=due.host,
            busy=stored.busy,
            unfit=stored.unfit,
        )
