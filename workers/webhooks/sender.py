"""Sends what is due: claims deliveries, posts them side by side, records outcomes in batches.

One loop talks to the database, at most every EVERY_SECONDS: first it stores what has ended, then it claims as much as
there is room for. A crash in between leaves leases that run out: the deliveries are sent again under the same id.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import structlog

from waiting_room.settings import Settings
from waiting_room.store import webhooks
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool
from waiting_room.store.webhooks import Delivery, Settled
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics, tracing
from workers.webhooks.message import headers_of, webhook_id
from workers.webhooks.post import Poster
from workers.webhooks.rooms import Rooms
from workers.webhooks.schedule import pauses_of
from workers.webhooks.verdict import GONE, Answer, settle

log = structlog.get_logger(__name__)

EVERY_SECONDS = 0.03
LOOK_SECONDS = 0.25
"""Retries that came due are found this late at most."""
CLAIM_MAX = 200
LEASE_MARGIN_SECONDS = 10.0
"""From the end of an attempt to its record in the database."""
LAST_WORDS_SECONDS = 3.0
"""Of the time to shut down, what is kept for storing outcomes."""


class Sender:
    """One a process; several share the work."""

    def __init__(self, settings: Settings, pool: Pool, poster: Poster) -> None:
        self._settings = settings
        self._pool = pool
        self._poster = poster
        self._pauses = pauses_of(settings.webhook_retry_seconds)
        self._rooms = Rooms(settings.webhook_endpoint_in_flight_max)
        self._in_flight: dict[asyncio.Task[None], Delivery] = {}
        self._ended: list[Settled] = []
        self._broken: BaseException | None = None
        self._wake = asyncio.Event()
        metrics.WEBHOOKS_IN_FLIGHT.set_function(lambda: len(self._in_flight))

    def look(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def run(self, finish: asyncio.Event) -> None:
        """Send until told to finish, then let what is in flight end. Raises what no retry can mend."""
        loop = asyncio.get_running_loop()
        while not finish.is_set():
            started, interval = loop.time(), EVERY_SECONDS
            self._wake.clear()
            try:
                await self._record()
                await self._claim()
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("webhooks_wait_for_the_database", error=type(error).__name__)
                interval = 0.5
            if self._broken:
                raise self._broken
            await pause(self._wake, LOOK_SECONDS)
            await pause(finish, interval - (loop.time() - started))
        await self._wind_up()

    async def _claim(self) -> None:
        room = min(self._settings.webhook_in_flight_max - len(self._in_flight), CLAIM_MAX)
        if room <= 0:
            return
        async with self._pool.acquire() as conn:
            claimed = await webhooks.claim(
                conn,
                rooms=self._rooms.left(),
                room_of_others=self._rooms.most,
                limit=room,
                lease_seconds=self._settings.webhook_timeout_seconds + LEASE_MARGIN_SECONDS,
            )
        for delivery in claimed:
            self._rooms.took(delivery.endpoint_id)
            task = asyncio.create_task(self._deliver(delivery), name=f"webhook {webhook_id(delivery)}")
            self._in_flight[task] = delivery
            task.add_done_callback(self._landed)
        if len(claimed) == room:
            self._wake.set()

    def _landed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._in_flight.pop(task)
            self._broken = self._broken or task.exception()
        self._wake.set()

    async def _deliver(self, delivery: Delivery) -> None:
        started = asyncio.get_running_loop().time()
        now = datetime.now(UTC)
        try:
            headers = headers_of(delivery, now)
            with tracing.span("webhook", delivery.booking_ref, outgoing=True) as span:
                headers |= tracing.outgoing_headers()
                answer = await self._poster.post(delivery.url, headers, delivery.payload.encode())
                tracing.say(span, event=delivery.event, attempt=delivery.attempts + 1, http_status=answer.status)
        except ValueError as error:
            answer = Answer(None, str(error))
        seconds = asyncio.get_running_loop().time() - started
        settled = settle(delivery, answer, self._pauses, chance=random.random(), now=datetime.now(UTC))
        self._rooms.ended(delivery.endpoint_id, well=answer.yes)
        self._ended.append(settled)
        self._report(delivery, settled, seconds)

    def _report(self, delivery: Delivery, settled: Settled, seconds: float) -> None:
        outcome = "retry" if settled.state == "due" else settled.state
        metrics.WEBHOOK_ATTEMPTS.labels(outcome).inc()
        if settled.state == "delivered":
            metrics.WEBHOOK_DELAY.observe(max(delivery.age_seconds + seconds, 0.0))
        log.info(
            "webhook",
            outcome=outcome,
            webhook_id=webhook_id(delivery),
            type=delivery.event,
            booking_ref=delivery.booking_ref,
            clinic_id=delivery.clinic_id,
            attempt=delivery.attempts + 1,
            status=settled.status,
            error=settled.error,
            seconds=round(seconds, 3),
            since_event_seconds=round(delivery.age_seconds + seconds, 3),
            again_in_seconds=settled.again_in_seconds and round(settled.again_in_seconds, 1),
        )

    async def _record(self) -> None:
        """Store what has ended. On an error it is kept for the next time."""
        ended = list(self._ended)
        if not ended:
            return
        gone = sorted({each.endpoint_id for each in ended if each.status == GONE})
        async with self._pool.acquire() as conn, conn.transaction():
            await webhooks.record(conn, ended)
            if gone:
                await webhooks.switch_off(conn, gone)
        self._ended = self._ended[len(ended) :]
        for endpoint_id in gone:
            log.warning("webhook_endpoint_switched_off", endpoint_id=endpoint_id)

    async def _wind_up(self) -> None:
        """Wait for what is in flight as long as there is time; others get the rest at once."""
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=self._settings.shutdown_seconds - LAST_WORDS_SECONDS)
        unfinished = list(self._in_flight.values())
        for task in list(self._in_flight):
            task.cancel()
        await self._record()
        if unfinished:
            async with self._pool.acquire() as conn:
                await webhooks.hand_back(conn, unfinished)
            log.info("webhooks_handed_back", deliveries=len(unfinished))
