"""Where hold starts reading a partition it has been given."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from waiting_room.store import holds
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool
from waiting_room.telemetry.health import say_ready
from waiting_room.topics import BOOKING_REQUESTS
from workers.pacing.offsets import Offsets
from workers.pulse import PulseWriter

log = structlog.get_logger(__name__)


class StartFromTheLower(ConsumerRebalanceListener):  # type: ignore[misc]
    """Starts from the lower of Kafka's committed offset and the one the database has stored.

    After PostgreSQL was restored from a backup its offset is the lower one, and what it lost is read again.
    """

    def __init__(self, consumer: AIOKafkaConsumer, pool: Pool, offsets: Offsets, pulse: PulseWriter) -> None:
        self._consumer = consumer
        self._pool = pool
        self._offsets = offsets
        self._pulse = pulse

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """What was taken is stored, and goes on being stored; what was not committed the next owner finds done."""
        self._pulse.forget_partitions({where.partition for where in revoked})
        self._offsets.revoked([tuple(where) for where in revoked])

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Seek back where the database knows less than Kafka; wait for the database as long as it takes."""
        self._offsets.assigned([tuple(where) for where in assigned])  # first: records may be handed out from now on
        stored = await self._ask({where.partition for where in assigned})
        for where in assigned:
            committed = await self._consumer.committed(where)
            in_database = stored.get(where.partition, 0)
            if committed is not None and in_database < committed:
                log.warning("reading_again", partition=where.partition, records=committed - in_database)
                self._consumer.seek(where, in_database)
                self._offsets.assigned([tuple(where)])  # what was handed out meanwhile is read again
        say_ready("hold")

    async def _ask(self, partitions: set[int]) -> dict[int, int]:
        while True:
            try:
                async with self._pool.acquire() as conn:
                    return await holds.consumed(conn, BOOKING_REQUESTS, partitions)
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("assignment_waits_for_postgres", error=type(error).__name__)
                await asyncio.sleep(0.5)
