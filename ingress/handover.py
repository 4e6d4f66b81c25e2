"""Hands commands to Kafka and tells the truth about what became of them.

A record that aiokafka took is written when the broker returns, even if nobody waits any more. So every command
carries ``accept_by``, it counts only if the broker itself stamped it in time, and while Kafka does not acknowledge
nothing is handed over at all.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from ingress.in_flight import InFlightLimit
from ingress.producing import LATE_SECONDS, Producing, Sent
from waiting_room.announcements import PARTITION
from waiting_room.kafka import Headers, Producer
from waiting_room.messages import Confirmation, Probe, encode
from waiting_room.settings import Settings
from waiting_room.telemetry import metrics
from waiting_room.topics import BOOKING_REQUESTS, CLINIC_CONFIRMATIONS_PRIORITY

log = structlog.get_logger(__name__)

_LOOK_EVERY_SECONDS: Final = 0.1
_LOG_APPEND_TIME: Final = 1


class NotHandedOver(Exception):
    """Nothing was handed to the producer; nothing can come of the command."""


class OutcomeUnknown(Exception):
    """It was handed over, and no acknowledgement says that it was appended in time."""


class Handover:
    """One a process. ``run`` starts the producer, watches it and probes it; everything else only looks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer(settings)
        self._producing = Producing(time.monotonic())
        self._limit = InFlightLimit(settings.ingress_in_flight_max)
        self._probe = encode(Probe(sent_by=settings.worker_id))
        self._answer_within_seconds = settings.ingress_answer_within_ms / 1000
        metrics.PRODUCE_IN_FLIGHT.set_function(lambda: self.in_flight)

    @property
    def in_flight(self) -> int:
        """Records that Kafka has not acknowledged."""
        return self._producing.unacknowledged

    @property
    def full(self) -> bool:
        """Whether as many records wait for Kafka as may."""
        return self._producing.unacknowledged >= self._limit.allowed

    @property
    def failing(self) -> bool:
        """Whether Kafka acknowledges nothing at present."""
        return self._producing.failing

    def takes(self, partition: int) -> bool:
        """Whether a command for this partition may be handed over now."""
        return self._producing.takes(partition)

    async def append(
        self, partition: int, clinic_id: str, command: bytes, accept_by_ms: int, headers: Headers = ()
    ) -> int:
        """Append to booking.requests; the offset. ``accept_by_ms``: the command's, in milliseconds of Unix time.

        Returns or raises within ``ingress_answer_within_ms``. Raises NotHandedOver, OutcomeUnknown.
        """
        handed_over = False
        appended: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._answer_within_seconds):
                acknowledgement = await self._producer.send(BOOKING_REQUESTS, partition, clinic_id, command, headers)
                handed_over = True
                sent = self._producing.sent(partition, time.monotonic())
                acknowledgement.add_done_callback(partial(self._settle, sent, appended))
                # Not the acknowledgement itself: the record is on its way whatever becomes of this caller.
                metadata = await appended
        except (KafkaError, TimeoutError) as error:
            if not handed_over:
                raise NotHandedOver from error
            raise OutcomeUnknown(f"not acknowledged: {type(error).__name__}") from error
        if metadata.timestamp_type != _LOG_APPEND_TIME:
            raise OutcomeUnknown("acknowledged without the time at which it was appended")
        if metadata.timestamp > accept_by_ms:
            raise OutcomeUnknown(f"appended {metadata.timestamp - accept_by_ms} ms too late")
        return int(metadata.offset)

    async def tell(self, topic: str, key: str, value: bytes) -> None:
        """Append to a topic of one partition. Raises KafkaError; cancelled, it may be appended yet."""
        await asyncio.shield(await self._producer.send(topic, PARTITION, key, value))

    async def ring(self, partition: int, doorbell: Confirmation) -> None:
        """Tell confirm of a booking that has work at its clinic. Raises KafkaError, and TimeoutError soon."""
        async with asyncio.timeout(LATE_SECONDS):
            topic, clinic_id = CLINIC_CONFIRMATIONS_PRIORITY, doorbell.clinic_id
            await asyncio.shield(await self._producer.send(topic, partition, clinic_id, encode(doorbell)))

    async def run(self, finish: asyncio.Event) -> None:
        """Keep the producer going and know whether it works, until ``finish`` is set; then flush it."""
        starting = asyncio.create_task(self._start(), name="start producer")
        try:
            while not finish.is_set():
                if starting.done():
                    starting.result()  # an error that is none of Kafka's ends the process
                self._limit.look()
                self._producing.look(time.monotonic(), started=self._producer.started)
                if self._producer.started:
                    await self._probe_suspects()
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self._producer.stop()

    async def _start(self) -> None:
        while True:
            try:
                return await self._producer.start()
            except KafkaError as error:
                log.warning("producer_not_started", error=type(error).__name__)
                await asyncio.sleep(0.5)

    async def _probe_suspects(self) -> None:
        for partition in self._producing.to_probe(time.monotonic()):
            try:
                async with asyncio.timeout(LATE_SECONDS):
                    acknowledgement = await self._producer.send(BOOKING_REQUESTS, partition, "", self._probe)
            except (KafkaError, TimeoutError):
                return  # the next look tries again
            sent = self._producing.probed(partition, time.monotonic())
            acknowledgement.add_done_callback(partial(self._settle, sent, None))

    def _settle(
        self, sent: Sent, waiting: asyncio.Future[RecordMetadata] | None, done: asyncio.Future[RecordMetadata]
    ) -> None:
        error = done.exception()
        if error is not None:
            self._producing.failed(sent)
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)
            return
        now = time.monotonic()
        self._producing.acknowledged(sent, now)
        self._limit.acknowledged(now - sent.at_seconds)
        if waiting is not None and not waiting.done():
            waiting.set_result(done.result())
