"""Reads booking.events for one group and stores what each event asks for; only then are the offsets committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import asyncpg
import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from waiting_room.dead_letters import put_aside
from waiting_room.kafka import Producer, group_consumer, stop_in_time
from waiting_room.messages import BookingEvent, Reader, Unreadable
from waiting_room.settings import Settings
from waiting_room.store.faults import passes
from waiting_room.supervise import pause
from waiting_room.telemetry.lag import ConsumerLag
from waiting_room.topics import BOOKING_EVENTS

log = structlog.get_logger(__name__)

BATCH_MAX = 1_000
COMMIT_EVERY_SECONDS = 0.5
AFTER_A_FAULT_SECONDS = 0.5

W = TypeVar("W")
_read: Reader[BookingEvent] = Reader(BookingEvent)


class Purpose(Protocol[W]):
    """What a group reads events for."""

    group: str

    def wanted(self, event: BookingEvent) -> W | None:
        """What is to be stored for this event; None if nothing."""
        ...

    async def store(self, wanted: Sequence[W]) -> int:
        """Store these, in the order of their events; how many are new. Storing them again changes nothing.

        Raises asyncpg.PostgresError; also MsgspecError and ValueError for what cannot be made sense of.
        """
        ...

    def started(self) -> None:
        """From now on events are read."""
        ...


class EventIntake(Generic[W]):
    """``on_new`` is called when something new was stored."""

    def __init__(self, settings: Settings, producer: Producer, purpose: Purpose[W], on_new: Callable[[], None]) -> None:
        self._settings = settings
        self._producer = producer
        self._purpose = purpose
        self._on_new = on_new
        self._done: dict[TopicPartition, int] = {}
        self._committed_at = 0.0
        self._lag = ConsumerLag(purpose.group)

    async def run(self, finish: asyncio.Event) -> None:
        """Read until told to finish. Raises what no retry can mend."""
        # A long absence of PostgreSQL is waited out between two polls; heartbeats go on beside it.
        consumer = group_consumer(self._settings, self._purpose.group, max_poll_interval_ms=3_600_000)
        consumer.subscribe([BOOKING_EVENTS])
        try:
            await consumer.start()
            self._purpose.started()
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
            await stop_in_time(consumer)

    async def _take(self, records: Sequence[ConsumerRecord], finish: asyncio.Event) -> bool:
        """Store for these records, however long it takes. False if told to finish before."""
        while True:
            try:
                await self.take(records)
                return True
            except Exception as error:
                if not (isinstance(error, KafkaError) or passes(error)):
                    raise
                log.warning("events_not_taken", group=self._purpose.group, error=type(error).__name__)
            if finish.is_set():
                return False
            await pause(finish, AFTER_A_FAULT_SECONDS)

    async def take(self, records: Sequence[ConsumerRecord]) -> None:
        """Store for these records; put aside what cannot be read. Taking a record again changes nothing.

        Raises KafkaError, and database errors that pass; then all of the records are to be taken again.
        """
        wanted: list[tuple[ConsumerRecord, W]] = []
        for record in records:
            try:
                found = self._purpose.wanted(_read(record.value))
            except Unreadable as error:
                await put_aside(self._producer, record, str(error))
                continue
            if found is not None:
                wanted.append((record, found))
        if await self._store(wanted):
            self._on_new()

    async def _store(self, wanted: Sequence[tuple[ConsumerRecord, W]]) -> int:
        """How many are new. What cannot be stored is found by halving and put aside."""
        if not wanted:
            return 0
        try:
            return await self._purpose.store([each for _, each in wanted])
        except (asyncpg.PostgresError, msgspec.MsgspecError, ValueError) as error:
            if passes(error):
                raise
            if len(wanted) == 1:
                await put_aside(self._producer, wanted[0][0], f"cannot be stored: {type(error).__name__}")
                return 0
        half = len(wanted) // 2
        return await self._store(wanted[:half]) + await self._store(wanted[half:])

    async def _commit(self, consumer: AIOKafkaConsumer, *, now: bool = False) -> None:
        """At most every COMMIT_EVERY_SECONDS: what is not committed is only read again."""
        time = asyncio.get_running_loop().time()
        ours = consumer.assignment()
        self._lag.assigned(ours)
        if not self._done or (not now and time - self._committed_at < COMMIT_EVERY_SECONDS):
            return
        self._committed_at = time
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
