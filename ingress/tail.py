"""Live events: one consumer of booking.events a process, and only while somebody watches.

It has no group and starts at the end: whoever watches first makes sure that it is ``live``, then reads the present
state from PostgreSQL, and from then on misses nothing. Where it cannot be followed (Kafka away, events missed, a
watcher too slow) it says so by ``gap`` and the watcher reads PostgreSQL again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from waiting_room.kafka import REQUEST_TIMEOUT_MS, START_SECONDS, Consumer, assigned, lone_consumer, stop_in_time
from waiting_room.messages import BookingEvent, Reader, Unreadable
from waiting_room.settings import Settings
from waiting_room.telemetry import metrics
from waiting_room.topics import BOOKING_EVENTS

log = structlog.get_logger(__name__)

LINGER_SECONDS: Final = 10.0
"""How long it goes on when the last watcher has left: the next one comes soon on a busy morning."""

_RETRY_SECONDS: Final = 0.5
_UNREAD_MAX: Final = 1_000


class Watcher:
    """Events of one clinic since it was last asked."""

    def __init__(self) -> None:
        self._events: list[BookingEvent] = []
        self._gap = False
        self._news = asyncio.Event()

    async def news(self, timeout: float) -> tuple[list[BookingEvent], bool]:
        """New events, as soon as there are any, and whether some may be missing (then read PostgreSQL again).

        Empty after ``timeout`` seconds. In the order of the clinic's ``seq``; an event may come twice.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()
        events, self._events = self._events, []
        gap, self._gap = self._gap, False
        return events, gap

    def add(self, event: BookingEvent) -> None:
        if len(self._events) >= _UNREAD_MAX:
            self._events.clear()
            self._gap = True
        self._events.append(event)
        self._news.set()

    def miss(self) -> None:
        """From now on it can be live, or no longer; what lies between is unknown."""
        self._gap = True
        self._news.set()


class Tail:
    """``run`` follows booking.events while there are watchers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watchers: dict[str, set[Watcher]] = {}
        self._wanted = asyncio.Event()
        self._live = asyncio.Event()
        self._read: Reader[BookingEvent] = Reader(BookingEvent)

    @property
    def is_live(self) -> bool:
        """Whether every event that is published from now on will be handed to its watchers."""
        return self._live.is_set()

    async def live(self, timeout: float) -> bool:
        """Wait until it is live, at most ``timeout`` seconds; whether it is."""
        try:
            async with asyncio.timeout(timeout):
                await self._live.wait()
        except TimeoutError:
            return False
        return True

    @contextmanager
    def watch(self, clinic_id: str) -> Iterator[Watcher]:
        """Receive this clinic's events meanwhile."""
        watcher = Watcher()
        self._watchers.setdefault(clinic_id, set()).add(watcher)
        self._wanted.set()
        metrics.WATCHERS.inc()
        try:
            yield watcher
        finally:
            metrics.WATCHERS.dec()
            watchers = self._watchers[clinic_id]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[clinic_id]

    async def run(self, finish: asyncio.Event) -> None:
        """Until ``finish`` is set. A fault of Kafka's ends a reading, not this."""
        reading = asyncio.create_task(self._run(), name="read events")
        finishing = asyncio.create_task(finish.wait(), name="finish tail")
        try:
            await asyncio.wait((reading, finishing), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            for task in (reading, finishing):
                task.cancel()
            await asyncio.gather(reading, finishing, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            await self._read_once()

    async def _read_once(self) -> None:
        consumer = lone_consumer(
            self._settings,
            BOOKING_EVENTS,
            auto_offset_reset="latest",
            fetch_max_wait_ms=100,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                await consumer.start()
                await self._from_the_end(consumer)
            self._set_live(live=True)
            await self._hand_on(consumer)
        except (KafkaError, TimeoutError) as error:
            log.warning("tail_restarts", error=type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._set_live(live=False)
            await stop_in_time(consumer)

    async def _from_the_end(self, consumer: Consumer) -> None:
        """Positions are fixed here, so that nothing published later is missed."""
        for partition, end in (await consumer.end_offsets(assigned(consumer, BOOKING_EVENTS))).items():
            consumer.seek(partition, end)

    async def _hand_on(self, consumer: Consumer) -> None:
        loop = asyncio.get_running_loop()
        idle_since = loop.time()
        while True:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    self._hand_on_one(record)
            if self._watchers:
                idle_since = loop.time()
            elif loop.time() - idle_since > LINGER_SECONDS:
                self._wanted.clear()
                return

    def _hand_on_one(self, record: ConsumerRecord) -> None:
        watchers = self._watchers.get(record.key.decode(errors="replace")) if record.key else None
        if not watchers:
            return
        try:
            event = self._read(record.value)
        except Unreadable as error:
            log.error("event_unreadable", partition=record.partition, offset=record.offset, error=str(error))
            for watcher in watchers:
                watcher.miss()
            return
        for watcher in watchers:
            watcher.add(event)

    def _set_live(self, *, live: bool) -> None:
        if live == self._live.is_set():
            return
        (self._live.set if live else self._live.clear)()
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.miss()
