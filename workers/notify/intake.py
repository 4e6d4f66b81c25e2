"""Reads booking.events and stores the messages they ask for; only then are the offsets committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import asyncpg
import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from waiting_room.dead_letters import put_aside
from waiting_room.domain.notifications import TOLD_OF
from waiting_room.kafka import Producer, group_consumer
from waiting_room.messages import BookingEvent, Reader, Unreadable
from waiting_room.patient_keys import Vault
from waiting_room.settings import Settings
from waiting_room.store import notifications
from waiting_room.store.faults import passes
from waiting_room.store.notifications import Planned
from waiting_room.store.pool import Pool
from waiting_room.supervise import pause
from waiting_room.telemetry.lag import ConsumerLag
from waiting_room.topics import BOOKING_EVENTS
from workers.notify.plan import plan, rules_of

log = structlog.get_logger(__name__)

GROUP = "notify"
BATCH_MAX = 1_000
COMMIT_EVERY_SECONDS = 0.5
AFTER_A_FAULT_SECONDS = 0.5

_read: Reader[BookingEvent] = Reader(BookingEvent)
_Event = tuple[ConsumerRecord, BookingEvent]


class Intake:
    """``on_new`` is called when there are new messages."""

    def __init__(
        self, settings: Settings, pool: Pool, producer: Producer, vault: Vault, on_new: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._rules = rules_of(settings)
        self._pool = pool
        self._producer = producer
        self._on_new = on_new
        self._lag = ConsumerLag(GROUP)
        self._done: dict[TopicPartition, int] = {}
        self._committed_at = 0.0

    async def run(self, finish: asyncio.Event) -> None:
        """Read until told to finish. Raises what no retry can mend."""
        # A long absence of PostgreSQL is waited out between two polls; heartbeats go on beside it.
        consumer = group_consumer(self._settings, GROUP, max_poll_interval_ms=3_600_000)
        consumer.subscribe([BOOKING_EVENTS])
        try:
            await consumer.start()
            while not finish.is_set():
                polled = await consumer.getmany(timeout_ms=200, max_records=BATCH_MAX)
                self._lag.read(polled)
                records = [record for of_partition in polled.values() for record in of_partition]
                if not await self._take(records, finish):
                    break
                for where, of_partition in polled.items():
                    self._done[where] = of_partition[-1].offset + 1
                await self._commit(consumer)
            await self._commit(consumer, now=True)
        finally:
            await consumer.stop()

    async def _take(self, records: Sequence[ConsumerRecord], finish: asyncio.Event) -> bool:
        """Plan for these records, however long it takes. False if told to finish before."""
        while True:
            try:
                await self.take(records)
                return True
            except Exception as error:
                if not (isinstance(error, KafkaError) or passes(error)):
                    raise
                log.warning("events_not_taken", error=type(error).__name__)
            if finish.is_set():
                return False
            await pause(finish, AFTER_A_FAULT_SECONDS)

    async def take(self, records: Sequence[ConsumerRecord]) -> None:
        """Store these records' messages; put aside what cannot be read. Taking a record again changes nothing.

        Raises KafkaError, and database errors that pass; then all of the records are to be taken again.
        """
        events: list[_Event] = []
        for record in records:
            try:
                event = _read(record.value)
            except Unreadable as error:
                await put_aside(self._producer, record, str(error))
                continue
            if event.event in TOLD_OF:
                events.append((record, event))
        if await self._plan(events):
            self._on_new()

    async def _plan(self, events: Sequence[_Event]) -> int:
        """How many messages are new. What cannot be planned or stored is found by halving and put aside."""
        if not events:
            return 0
        try:
            return await self._store([event for _, event in events])
        except (asyncpg.PostgresError, msgspec.MsgspecError, ValueError) as error:
            if passes(error):
                raise
            if len(events) == 1:
                await put_aside(self._producer, events[0][0], f"cannot be planned: {type(error).__name__}")
                return 0
        half = len(events) // 2
        return await self._plan(events[:half]) + await self._plan(events[half:])

    async def _store(self, events: Sequence[BookingEvent]) -> int:
        now = datetime.now(UTC)
        keys = list({(event.clinic_id, event.booking_ref) for event in events})
        async with self._pool.acquire() as conn:
            subjects = await notifications.subjects(conn, keys)
            planned: list[Planned] = []
            for event in events:
                subject = subjects.get((event.clinic_id, event.booking_ref))
                patient = subject and self._vault.open(subject.patient_key, subject.patient)
                if subject and patient:
                    planned.extend(plan(event, subject, patient, self._rules, now))
            async with conn.transaction():
                if subjects:
                    await notifications.drop_overtaken(conn, list(subjects))
                return await notifications.enlist(conn, planned) if planned else 0

    async def _commit(self, consumer: AIOKafkaConsumer, *, now: bool = False) -> None:
        """At most every COMMIT_EVERY_SECONDS: what is not committed is only read again."""
        time = asyncio.get_running_loop().time()
        if not self._done or (not now and time - self._committed_at < COMMIT_EVERY_SECONDS):
            return
        self._committed_at = time
        self._lag.assigned(consumer.assignment())
        ours = consumer.assignment()
        offsets = {where: offset for where, offset in self._done.items() if where in ours}
        self._done.clear()
        try:
            if offsets:
                await consumer.commit(offsets)
                self._lag.committed(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("commit_left_to_the_next_owner", error=type(error).__name__)
        except KafkaError as error:
            log.warning("commit_failed", error=type(error).__name__)
