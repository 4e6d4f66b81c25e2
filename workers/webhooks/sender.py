"""Sends what is due: claims deliveries, posts them side by side, records outcomes in batches.

One loop talks to the database, at most every EVERY_SECONDS: first it stores what has ended, then it claims as much as
there is room for. A crash in between leaves leases that run out: the deliveries are sent again under the same id.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from waiting_room.patient_keys import Vault
from waiting_room.settings import Settings
from waiting_room.store import webhooks
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool
from waiting_room.store.webhooks import Delivery, Settled
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics, tracing
from waiting_room.webhook_signing import Signers
from workers.webhooks.endpoints import Endpoints
from workers.webhooks.message import body_of, headers_of, id_of
from workers.webhooks.paces import OF_OTHERS, Paces, Turn
from workers.webhooks.post import Poster
from workers.webhooks.schedule import pauses_of, retry_after_seconds
from workers.webhooks.verdict import Answer, settle

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

    def __init__(self, settings: Settings, pool: Pool, poster: Poster, signers: Signers, vault: Vault) -> None:
        self._settings = settings
        self._pool = pool
        self._poster = poster
        self._signers = signers
        self._vault = vault
        self._pauses = pauses_of(settings.webhook_retry_seconds)
        self._paces = Paces(settings.webhook_endpoint_in_flight_max)
        self._endpoints = Endpoints(settings.webhook_disable_after_seconds)
        self._in_flight: dict[asyncio.Task[None], Delivery] = {}
        self._ended: list[tuple[Delivery, Settled]] = []
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
                await self._endpoints.give_up(self._pool)
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
        now = asyncio.get_running_loop().time()
        metrics.WEBHOOK_ENDPOINTS_DOWN.set(self._paces.down())
        async with self._pool.acquire() as conn:
            claimed = await webhooks.claim(
                conn,
                rooms=self._paces.left(now),
                room_of_others=OF_OTHERS,
                limit=room,
                lease_seconds=self._settings.webhook_timeout_seconds + LEASE_MARGIN_SECONDS,
            )
        for delivery in claimed:
            turn = self._paces.took(delivery.endpoint_id, asyncio.get_running_loop().time())
            task = asyncio.create_task(self._deliver(delivery, turn), name=f"webhook {id_of(delivery)}")
            self._in_flight[task] = delivery
            task.add_done_callback(self._landed)
        if len(claimed) == room:
            self._wake.set()

    def _landed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._in_flight.pop(task)
            self._broken = self._broken or task.exception()
        self._wake.set()

    async def _deliver(self, delivery: Delivery, turn: Turn) -> None:
        loop = asyncio.get_running_loop()
        started, started_at = loop.time(), datetime.now(UTC)
        try:
            body = body_of(delivery, self._vault)
            headers = headers_of(delivery, body, self._signers, started_at)
        except ValueError as error:
            answer = Answer(None, str(error), asked=False)
        else:
            answer = await self._post(delivery, headers, body.encode())
        if delivery.in_full:  # what an endpoint answers may hold what it was told
            answer = replace(answer, response=None)
        now, ended_at = loop.time(), datetime.now(UTC)
        self._paces.ended(
            delivery.endpoint_id,
            turn,
            answer.verdict,
            now,
            seconds=now - started,
            pause_seconds=retry_after_seconds(answer.retry_after, ended_at) or 0.0,
        )
        settled = settle(
            delivery,
            answer,
            self._pauses,
            chance=random.random(),
            started_at=started_at,
            seconds=now - started,
            now=ended_at,
        )
        self._ended.append((delivery, settled))
        _report(delivery, settled)

    async def _post(self, delivery: Delivery, headers: dict[str, str], body: bytes) -> Answer:
        if delivery.booking_ref is None:
            return await self._poster.post(delivery.url, headers, body)
        with tracing.span("webhook", delivery.booking_ref, outgoing=True) as span:
            answer = await self._poster.post(delivery.url, headers | tracing.outgoing_headers(), body)
            tracing.say(span, event=delivery.event, attempt=delivery.attempts + 1, http_status=answer.status)
        return answer

    async def _record(self) -> None:
        """Store what has ended. On an error it is kept for the next time."""
        ended = list(self._ended)
        if not ended:
            return
        async with self._pool.acquire() as conn, conn.transaction():
            await webhooks.record(conn, [settled for _, settled in ended])
            news = await self._endpoints.note(conn, ended)
        self._ended = self._ended[len(ended) :]
        self._endpoints.say(news)

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


def _report(delivery: Delivery, settled: Settled) -> None:
    outcome = "retry" if settled.state == "due" else str(settled.state)
    since_event_seconds = max(delivery.age_seconds + settled.seconds, 0.0)
    metrics.WEBHOOK_ATTEMPTS.labels(outcome).inc()
    if settled.state == "delivered":
        exemplar = None if delivery.booking_ref is None else tracing.exemplar(delivery.booking_ref)
        metrics.WEBHOOK_DELAY.observe(since_event_seconds, exemplar)
    log.info(
        "webhook",
        outcome=outcome,
        webhook_id=id_of(delivery),
        type=delivery.event,
        booking_ref=delivery.booking_ref,
        clinic_id=delivery.clinic_id,
        attempt=delivery.attempts + settled.spent,
        status=settled.status,
        error=settled.error,
        seconds=round(settled.seconds, 3),
        since_event_seconds=round(since_event_seconds, 3),
        again_in_seconds=settled.again_in_seconds and round(settled.again_in_seconds, 1),
    )
