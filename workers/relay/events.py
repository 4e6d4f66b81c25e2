"""Publishes each clinic's events to booking.events, in order, and notes how far it came.

A round reads what is committed and not yet published, sends it, waits for every acknowledgement, and only then moves
the cursors. A crash or a failed send between the two publishes events again: at least once, never a gap. A record
that failed alone may then follow later ones, so a reader must not take a high number as proof that it has seen all
lower ones.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog
from aiokafka.errors import KafkaError

from waiting_room.domain.appointment import EventType
from waiting_room.kafka import Producer
from waiting_room.store import outbox
from waiting_room.store.faults import passes
from waiting_room.store.outbox import Span, StoredEvent
from waiting_room.store.pool import Connection, Pool
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics
from waiting_room.topics import BOOKING_EVENTS, TOPICS, events_partition
from workers.relay.plan import plan, unbroken

log = structlog.get_logger(__name__)

ROUND_MAX = 2_000
"""Events of one round: about 1 MB, 20 ms to send."""
BUSY_SECONDS = 0.025
IDLE_SECONDS = 0.08
AFTER_A_FAULT_SECONDS = 0.5

for _kind in EventType:
    metrics.PUBLISHED.labels(_kind)  # what happens rarely is seen the first time too

_PARTITIONS = next(topic.partitions for topic in TOPICS if topic.name == BOOKING_EVENTS)


class EventPublisher:
    """Only the relay that leads runs one."""

    def __init__(self, pool: Pool, producer: Producer) -> None:
        self._pool = pool
        self._producer = producer
        self._turn = ""
        self._gaps: dict[str, int] = {}

    async def run(self, finish: asyncio.Event) -> None:
        """A round every BUSY_SECONDS while there is work, ever more rarely up to IDLE_SECONDS without."""
        loop = asyncio.get_running_loop()
        interval = BUSY_SECONDS
        while not finish.is_set():
            started = loop.time()
            try:
                published = await self.round()
                interval = BUSY_SECONDS if published else min(interval * 1.5, IDLE_SECONDS)
            except Exception as error:
                if not (isinstance(error, KafkaError) or passes(error)):
                    raise
                log.warning("events_not_published", error=type(error).__name__)
                interval = AFTER_A_FAULT_SECONDS
            await pause(finish, interval - (loop.time() - started))

    async def round(self) -> int:
        """Publish up to ROUND_MAX events; how many. Raises KafkaError and database errors; then cursors stay."""
        async with self._pool.acquire() as conn:
            news = await outbox.news(conn)
            if not news:
                metrics.OUTBOX_OLDEST.set(0)
                return 0
            spans = plan(news, ROUND_MAX, self._turn)
            self._turn = spans[-1].clinic_id
            events = await self._read(conn, spans)
            if not events:
                return 0
            # Before they are sent: while Kafka is away it is this that grows.
            metrics.OUTBOX_OLDEST.set(max(event.age_seconds for event in events))
            read_at = asyncio.get_running_loop().time()
            partition_of = {each.clinic_id: events_partition(each.partition, _PARTITIONS) for each in news}
            await self._producer.send_all(
                [
                    (BOOKING_EVENTS, partition_of[event.clinic_id], event.clinic_id, event.record.encode())
                    for event in events
                ]
            )
            sent_seconds = asyncio.get_running_loop().time() - read_at
            await outbox.advance(conn, {event.clinic_id: event.seq for event in events})
        for kind, count in Counter(event.event for event in events).items():
            metrics.PUBLISHED.labels(kind).inc(count)
        for event in events:
            metrics.OUTBOX_DELAY.observe(max(event.age_seconds + sent_seconds, 0.0))
        return len(events)

    async def _read(self, conn: Connection, spans: list[Span]) -> list[StoredEvent]:
        found = await outbox.events(conn, spans)
        follow = unbroken(found, {span.clinic_id: span.after_seq for span in spans})
        if len(follow) < sum(span.wanted for span in spans):
            self._report_gaps(spans, follow)
        return follow

    def _report_gaps(self, spans: list[Span], follow: list[StoredEvent]) -> None:
        """An event below the clinic's counter is not there: the database has lost rows. Said once a gap."""
        came_to = {span.clinic_id: span.after_seq for span in spans} | {each.clinic_id: each.seq for each in follow}
        for span in spans:
            missing = came_to[span.clinic_id] + 1
            if missing <= span.after_seq + span.wanted and self._gaps.get(span.clinic_id) != missing:
                self._gaps[span.clinic_id] = missing
                log.error("event_missing", clinic_id=span.clinic_id, seq=missing)
