"""Publishes changes of clinics and API keys to their compacted topics and deletes what was acknowledged."""

from __future__ import annotations

import asyncio

import structlog
from aiokafka.errors import KafkaError

from waiting_room.announcements import PARTITION
from waiting_room.kafka import Producer
from waiting_room.store import outbox
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool
from waiting_room.supervise import pause
from workers.relay.leader import Leader

log = structlog.get_logger(__name__)

EVERY_SECONDS = 0.25
ROUND_MAX = 200


class DirectoryPublisher:
    """In a compacted topic the last record wins: what is sent must not be older than what another relay sent."""

    def __init__(self, pool: Pool, producer: Producer, leader: Leader) -> None:
        self._pool = pool
        self._producer = producer
        self._leader = leader

    async def run(self, finish: asyncio.Event) -> None:
        """Publish until told to finish; faults that pass are waited out."""
        while not finish.is_set():
            try:
                while await self.round() == ROUND_MAX:
                    pass
            except Exception as error:
                if not (isinstance(error, KafkaError) or passes(error)):
                    raise
                log.warning("directory_not_published", error=type(error).__name__)
            await pause(finish, EVERY_SECONDS)

    async def round(self) -> int:
        """Publish the oldest changes; how many. Raises KafkaError and database errors; then they are sent again."""
        async with self._pool.acquire() as conn:
            rows = await outbox.directory_rows(conn, ROUND_MAX)
            if not rows or not self._leader.certain:
                return 0
            await self._producer.send_all([(row.topic, PARTITION, row.key, row.record.encode()) for row in rows])
            await outbox.delete_directory_rows(conn, [row.seq for row in rows])
        log.info("directory_published", records=len(rows))
        return len(rows)
