"""The sweep role: every so often, does what time has made due. Several at once do no harm."""

from __future__ import annotations

import asyncio

import structlog
from aiokafka.errors import KafkaError

from waiting_room.kafka import Producer
from waiting_room.settings import Settings
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool
from waiting_room.supervise import pause
from waiting_room.telemetry.health import say_ready
from workers.sweep.absent import miss
from workers.sweep.archive import Archiving
from workers.sweep.close_again import ClosingAgain
from workers.sweep.expire import BATCH_MAX, expire
from workers.sweep.extend import extend
from workers.sweep.fill import fill
from workers.sweep.forget import forget
from workers.sweep.rebook import rebook
from workers.sweep.ring import ROUND_MAX, ring
from workers.sweep.seen import Seen
from workers.sweep.waitlist import Looking, end_waits, lapse

log = structlog.get_logger(__name__)


class Sweep:
    """What it has done is in the database, but for when it last looked for seats, at closures, or at what is over."""

    def __init__(self, settings: Settings, pool: Pool, producer: Producer) -> None:
        self._settings = settings
        self._pool = pool
        self._producer = producer
        self._looking = Looking(pool)
        self._closing = ClosingAgain(pool, producer)
        self._seen = Seen(pool, settings.sweep_seen_after_hours)
        self._archiving = Archiving(pool, settings.archive_after_days)

    async def run(self, finish: asyncio.Event) -> None:
        """A round every ``sweep_every_seconds``. Faults that pass are left to the next round."""
        while not finish.is_set():
            try:
                await self.round()
                say_ready("sweep")
            except Exception as error:
                if not (isinstance(error, KafkaError) or passes(error)):
                    raise
                log.warning("sweep_failed", error=type(error).__name__)
            await pause(finish, self._settings.sweep_every_seconds)

    async def round(self) -> None:
        """Extend before expiring, free what nobody needs before giving it to who does, and ring when that is done; what
        is over can wait. Raises KafkaError and database errors.
        """
        await extend(self._pool)
        while expired := await expire(self._pool):
            log.info("holds_expired", bookings=expired)
            if expired < BATCH_MAX:
                break
        while absent := await miss(self._pool):
            log.info("no_shows", bookings=absent)
            if absent < BATCH_MAX:
                break
        while lapsed := await lapse(self._pool):
            log.info("offers_expired", offers=lapsed)
            if lapsed < BATCH_MAX:
                break
        await end_waits(self._pool)
        await self._looking.look()
        if filled := await fill(self._pool):
            log.info("doses_found", bookings=filled)
        await self._ask_others()
        if forgotten := await forget(self._pool, self._settings.patient_keep_days):
            log.info("patients_forgotten", patients=forgotten)
        if seen := await self._seen.look():
            log.info("visits_over", bookings=seen)
        if archived := await self._archiving.look():
            log.info("archived", bookings=archived)

    async def _ask_others(self) -> None:
        """By Kafka; noted as asked, so that what does not come there is asked for again in its time."""
        await rebook(self._pool, self._producer)
        await self._closing.look()
        while rung := await ring(self._pool, self._producer, self._settings.sweep_ring_after_seconds):
            log.info("rung_again", bookings=rung)
            if rung < ROUND_MAX:
                break
