"""Where partitions end, asked now and answered at once.

On a connection of its own: on one on which records are waited for, a broker answers in order, and so not before the
wait for records is over, some hundred milliseconds later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from waiting_room.kafka import REQUEST_TIMEOUT_MS, START_SECONDS, Consumer, lone_consumer, stop_in_time
from waiting_room.settings import Settings
from waiting_room.supervise import pause

log = structlog.get_logger(__name__)
AGAIN_SECONDS = 0.5


class PartitionEnds:
    """Connects when it runs; begins again with a new connection after a fault."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._consumer: Consumer | None = None
        self._failed = asyncio.Event()

    async def of(self, partitions: Sequence[int]) -> dict[int, int]:
        """The offset the next record appended to each of these will get. Raises KafkaError."""
        if self._consumer is None:
            raise KafkaError("not connected")
        try:
            ends = await self._consumer.end_offsets([TopicPartition(self._topic, each) for each in partitions])
        except KafkaError:
            self._failed.set()
            raise
        return {where.partition: end for where, end in ends.items()}

    async def run(self, finish: asyncio.Event) -> None:
        """Keep the connection until told to finish."""
        while not finish.is_set():
            # No topics: it reads nothing, it only asks.
            consumer = lone_consumer(self._settings, request_timeout_ms=REQUEST_TIMEOUT_MS)
            self._failed.clear()
            try:
                async with asyncio.timeout(START_SECONDS):
                    await consumer.start()
                    await consumer.end_offsets([TopicPartition(self._topic, 0)])  # the first answer has to find the way
                self._consumer = consumer
                await self._until_failed(finish)
            except (KafkaError, TimeoutError) as error:
                log.warning("ends_not_known", error=type(error).__name__)
                await pause(finish, AGAIN_SECONDS)
            finally:
                self._consumer = None
                await stop_in_time(consumer)

    async def _until_failed(self, finish: asyncio.Event) -> None:
        waits = [asyncio.create_task(each.wait()) for each in (self._failed, finish)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
