"""Sends what is due: takes messages in hand ahead of time, reads their bookings again when they are due, sends them.

One loop talks to the database: it stores what has ended, says that this sender lives, takes in hand what is due within
the horizon, and begins what is due now. Beginning leases a message and reads its booking in one statement, so that
what was cancelled or moved meanwhile is not sent. A sender that dies is not seen any more: what it had in hand is
free after SILENCE_SECONDS, what it was sending after its lease, and is sent again under the same idempotency key.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

import structlog

from waiting_room.domain.notifications import LOUD, REMINDER, Channel, Reach, after, base_of, reach_of
from waiting_room.domain.quiet_hours import news_at
from waiting_room.envelope import CannotOpen, UnknownMasterKey
from waiting_room.messages import Patient
from waiting_room.patient_keys import Vault
from waiting_room.settings import Settings
from waiting_room.store import notifications
from waiting_room.store.faults import passes
from waiting_room.store.notifications import Begun, Key, Settled
from waiting_room.store.pool import Pool
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics, tracing
from waiting_room.telemetry.health import say_ready
from waiting_room.telemetry.logs import Repeated
from workers.notify.compose import Composer
from workers.notify.hand import DatabaseClock, Hand
from workers.notify.letter import Gateway
from workers.notify.plan import rules_of
from workers.notify.verdict import Answer, dropped, settle, unwanted

log = structlog.get_logger(__name__)

EVERY_SECONDS = 0.03
LOOK_SECONDS = 0.25
"""What came due without having been in hand, a retry or news, is found this late at most."""
AHEAD_EVERY_SECONDS = 1.0
SEEN_EVERY_SECONDS = 2.0
FORGET_EVERY_SECONDS, FORGET_MAX = 60.0, 5_000
SILENCE_SECONDS = 10.0
"""A sender that was not seen for so long has lost what it has in hand."""
BEGIN_MAX = 100
LEASE_MARGIN_SECONDS = 5.0
"""From the end of an attempt to its record in the database."""
WITHOUT_MASTER_KEY_SECONDS = 10.0
"""Until it is looked whether a sender can open its patient's key after all: this one may have been told by then."""
LAST_WORDS_SECONDS = 3.0
"""Of the time to shut down, what is kept for storing outcomes."""


class Sender:
    """One a process; several share the work."""

    def __init__(
        self, settings: Settings, pool: Pool, vault: Vault, composer: Composer, gateways: Mapping[Channel, Gateway]
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._pool = pool
        self._composer = composer
        self._gateways = gateways
        self._rules = rules_of(settings)
        self._pauses = tuple(float(part) for part in settings.notify_retry_seconds.split(","))
        self._lease_seconds = settings.notify_timeout_seconds + LEASE_MARGIN_SECONDS
        self._horizon_seconds = settings.notify_horizon_seconds
        # A worker of the same id that died a moment ago is another sender.
        self._sender_id = f"{settings.worker_id}/{secrets.token_hex(3)}"
        self._clock = DatabaseClock()
        self._hand = Hand()
        self._in_doubt = False
        self._seen_at = self._ahead_at = self._forgot_at = float("-inf")
        self._in_flight: dict[asyncio.Task[None], Begun] = {}
        self._ended: list[Settled] = []
        self._broken: BaseException | None = None
        self._wake = asyncio.Event()
        self._not_opened = Repeated()

    def look(self) -> None:
        """There may be something to send."""
        self._wake.set()

    @property
    def under_way(self) -> list[asyncio.Task[None]]:
        """The messages that are being sent."""
        return list(self._in_flight)

    async def run(self, finish: asyncio.Event) -> None:
        """Send until told to finish, then let what is in flight end. Raises what no retry can mend."""
        loop = asyncio.get_running_loop()
        while not finish.is_set():
            started, interval = loop.time(), EVERY_SECONDS
            self._wake.clear()
            try:
                await self._round()
                say_ready("notify")
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("notifications_wait_for_the_database", error=type(error).__name__)
                self._in_doubt = True
                interval = 0.5
            if self._broken:
                raise self._broken
            await pause(self._wake, self._rest_seconds())
            await pause(finish, interval - (loop.time() - started))
        await self._wind_up()

    async def _round(self) -> None:
        await self._record()
        if self._in_doubt:
            await self._let_go()
        now = _seconds()
        if now - self._seen_at >= SEEN_EVERY_SECONDS:
            async with self._pool.acquire() as conn:
                asked_at = _seconds()
                self._clock.heard(await notifications.be_seen(conn, self._sender_id), asked_at)
            self._seen_at = now
        if now - self._forgot_at >= FORGET_EVERY_SECONDS:
            async with self._pool.acquire() as conn:
                await notifications.forget_senders(conn)
                await notifications.forget_ended(
                    conn, older_than_days=self._settings.notify_keep_days, limit=FORGET_MAX
                )
            self._forgot_at = now
        await self._claim(0.0, self._room)
        if now - self._ahead_at >= AHEAD_EVERY_SECONDS:
            self._ahead_at = now
            await self._claim(self._horizon_seconds, self._settings.notify_in_hand_max - len(self._hand))
        await self._begin()
        metrics.NOTIFICATIONS_IN_HAND.set(len(self._hand))

    @property
    def _room(self) -> int:
        return self._settings.notify_in_flight_max - len(self._in_flight)

    def _rest_seconds(self) -> float:
        """Until something in hand is due, but no longer than LOOK_SECONDS."""
        if self._hand.next_at is None or self._room <= 0:
            return LOOK_SECONDS
        left = (self._hand.next_at - self._clock.now(_seconds())).total_seconds()
        return min(max(left, 0.0), LOOK_SECONDS)

    async def _claim(self, within_seconds: float, limit: int) -> None:
        if limit <= 0:
            return
        async with self._pool.acquire() as conn:
            taken = await notifications.claim(
                conn, self._sender_id, within_seconds=within_seconds, limit=limit, silence_seconds=SILENCE_SECONDS
            )
        self._hand.take(taken)

    async def _begin(self) -> None:
        """Start sending what is due, as far as there is room."""
        keys = self._hand.due(self._clock.now(_seconds()), min(self._room, BEGIN_MAX))
        if not keys:
            return
        asked_at = _seconds()
        async with self._pool.acquire() as conn:
            begun = await notifications.begin(conn, self._sender_id, keys, lease_seconds=self._lease_seconds)
            if len(begun) < len(keys):  # dropped meanwhile, another's by now, or not due after all
                await notifications.let_go_of(conn, self._sender_id, _rest(keys, begun))
        for each in begun:
            why = unwanted(each)
            if why is not None:
                self._end(dropped(each, why))
                continue
            task = asyncio.create_task(self._deliver(each, asked_at), name=f"notify {each.key.booking_ref}")
            self._in_flight[task] = each
            task.add_done_callback(self._landed)
        if begun:
            self._wake.set()

    def _landed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._in_flight.pop(task)
            self._broken = self._broken or task.exception()
        self._wake.set()

    async def _deliver(self, begun: Begun, begun_at: float) -> None:
        if _seconds() - begun_at > LEASE_MARGIN_SECONDS:  # stood still: by now it may be another's to send
            self._end(Settled(begun.key, begun.lease_until, "due", tried=False, again_in_seconds=0.0))
            return
        try:
            patient = self._vault.open(begun.patient_key, begun.patient)
        except UnknownMasterKey as error:  # our environment's fault: the message waits until it is mended
            if times := self._not_opened.due():
                log.error("patient_not_opened", booking_ref=begun.key.booking_ref, detail=str(error), times=times)
            why = type(error).__name__
            again = WITHOUT_MASTER_KEY_SECONDS
            self._end(Settled(begun.key, begun.lease_until, "due", tried=False, again_in_seconds=again, error=why))
            return
        except CannotOpen as error:
            patient, answer = Patient(id=""), _broken(begun, error)
        else:
            if patient is None:
                self._end(dropped(begun, "erased"))
                return
            answer = await self._send(begun, patient)
        reach = reach_of(patient.contact, self._rules.gateways.difference(begun.unsubscribed), self._rules.quiet_hours)
        next_channel = after(begun.key.channel, reach)
        settled = settle(
            begun,
            answer,
            self._pauses,
            chance=random.random(),
            next_channel=next_channel,
            next_in_seconds=self._quiet_seconds(begun, reach) if next_channel in LOUD else 0.0,
        )
        self._end(settled, begun.late_seconds + _seconds() - begun_at)

    async def _send(self, begun: Begun, patient: Patient) -> Answer:
        """A message that cannot be written fails like one that cannot be sent: it keeps no other from going out."""
        gateway = self._gateways.get(Channel(begun.key.channel))
        try:
            letter = await self._composer.letter(begun, patient)
            if letter is None or gateway is None:
                return Answer(False, "no address" if letter is None else "no gateway", final=True)
            return await gateway.send(letter)
        except Exception as error:
            return _broken(begun, error)

    def _quiet_seconds(self, begun: Begun, reach: Reach) -> float:
        """How long the patient's quiet hours hold back a channel that steps in now."""
        now = self._clock.now(_seconds())
        quiet = reach.quiet_hours.around(now, ZoneInfo(begun.timezone)) if reach.quiet_hours else None
        return (news_at(now, begun.start_at, quiet) - now).total_seconds()

    def _end(self, settled: Settled, late_seconds: float | None = None) -> None:
        self._ended.append(settled)
        outcome = "retry" if settled.state == "due" else settled.state
        key = settled.key
        metrics.NOTIFICATIONS.labels(key.channel, outcome).inc()
        if settled.state == "sent" and late_seconds is not None:
            delay = metrics.REMINDER_DELAY if base_of(key.kind) == REMINDER else metrics.NOTIFICATION_DELAY
            delay.observe(max(late_seconds, 0.0), tracing.exemplar(key.booking_ref))
        log.info(
            "notification",
            outcome=outcome,
            clinic_id=key.clinic_id,
            booking_ref=key.booking_ref,
            revision=key.revision,
            kind=key.kind,
            channel=key.channel,
            error=settled.error,
            late_seconds=late_seconds and round(late_seconds, 3),
            next_channel=settled.next_channel,
        )

    async def _record(self) -> None:
        """Store what has ended. On an error it is kept for the next time."""
        ended = list(self._ended)
        if ended:
            async with self._pool.acquire() as conn:
                await notifications.record(conn, ended)
            self._ended = self._ended[len(ended) :]

    async def _let_go(self) -> None:
        """After a fault nobody knows what was taken in hand: give back all of it and begin anew."""
        async with self._pool.acquire() as conn:
            await notifications.let_go(conn, self._sender_id, within_seconds=self._horizon_seconds + 60)
        self._hand.clear()
        self._in_doubt = False

    async def _wind_up(self) -> None:
        """Wait for what is in flight as long as there is time; others get the rest at once."""
        try:
            await self._let_go()
            if self._in_flight:
                await asyncio.wait(
                    self._in_flight, timeout=max(self._settings.shutdown_seconds - LAST_WORDS_SECONDS, 0.0)
                )
            left = dict(self._in_flight)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self._record()
            if left:
                async with self._pool.acquire() as conn:
                    await notifications.not_sent(conn, list(left.values()))
        except Exception as error:
            if not passes(error):
                raise
            log.warning("left_to_their_leases", error=type(error).__name__)


def _broken(begun: Begun, error: Exception) -> Answer:
    """Without the error's text: it may hold what no log may."""
    key, why = begun.key, type(error).__name__
    log.error("notification_broken", clinic_id=key.clinic_id, booking_ref=key.booking_ref, error=why)
    return Answer(False, f"broken: {why}")


def _rest(keys: Sequence[Key], begun: Sequence[Begun]) -> list[Key]:
    found = {each.key for each in begun}
    return [key for key in keys if key not in found]


def _seconds() -> float:
    """Seconds that never jump and pass while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
