"""Reads compacted topics from their beginning and goes on reading: how processes know what others have published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from waiting_room.kafka import REQUEST_TIMEOUT_MS, START_SECONDS, Consumer, assigned, lone_consumer, stop_in_time
from waiting_room.settings import Settings

log = structlog.get_logger(__name__)
LOOK_EVERY_SECONDS = 5.0
"""How often it is looked whether what is there is handed on: a reader that stands still looks like a quiet topic."""
LOOKS_MISSED = 3

OnRecord = Callable[[str, bytes | None], None]


class Follower:
    """Reads compacted topics from their beginning and goes on reading; survives the broker's absence, and its own
    consumer's standing still, which was seen after a broker had been killed while a consumer began to read.

    ``caught_up`` is set once everything that was there at the start has been handed on. Whenever it begins to read,
    which may hand on older records once more, ``begins`` is called first.
    """

    def __init__(
        self,
        settings: Settings,
        tables: Mapping[str, OnRecord],
        begins: Callable[[], None] = lambda: None,
        look_every_seconds: float = LOOK_EVERY_SECONDS,
    ) -> None:
        self._look_every_seconds = look_every_seconds
        self._settings = settings
        self._tables = tables
        self._begins = begins
        self._consumer: Consumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self.caught_up = asyncio.Event()

    async def run(self, finish: asyncio.Event) -> None:
        """Follow until told to finish. Raises what is none of Kafka's faults."""
        following = asyncio.create_task(self._run(), name="follow")
        finishing = asyncio.create_task(finish.wait(), name="finish follower")
        try:
            await asyncio.wait((following, finishing), return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        finally:
            for task in (following, finishing):
                task.cancel()
            await asyncio.gather(following, finishing, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            consumer = lone_consumer(
                self._settings, *self._tables, fetch_max_wait_ms=200, request_timeout_ms=REQUEST_TIMEOUT_MS
            )
            try:
                async with asyncio.timeout(START_SECONDS):
                    await consumer.start()
                self._consumer = consumer
                await self._follow_watched(consumer)
            except (KafkaError, TimeoutError) as error:
                log.warning("follower_restarts", error=type(error).__name__)
                await asyncio.sleep(0.5)
            finally:
                self._consumer = None
                await stop_in_time(consumer)

    def position(self, topic: str, partition: int) -> int:
        """Everything before this offset of a table's partition has been handed on."""
        return self._positions.get(TopicPartition(topic, partition), 0)

    async def end_offset(self, topic: str, partition: int) -> int:
        """The offset the next record appended to this partition will get, asked now. Raises KafkaError."""
        if self._consumer is None:
            raise KafkaError("not connected")
        where = TopicPartition(topic, partition)
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets([where])
        return ends[where]

    async def _follow_watched(self, consumer: Consumer) -> None:
        """Raises KafkaError."""
        tasks = [asyncio.create_task(each(consumer)) for each in (self._follow, self._watch)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, consumer: Consumer) -> None:
        """Raises KafkaError when what was there at one look has not been handed on at the next, nor anything else, or
        it has not begun to read; and when it could not be looked for several times: a new consumer finds the broker, or
        says that there is none.
        """
        partitions = assigned(consumer, *self._tables)
        missed = 0
        before: dict[TopicPartition, tuple[int | None, int]] = {}
        while True:
            await asyncio.sleep(self._look_every_seconds)
            for where, (position, end) in before.items():
                if self._positions.get(where) == position and (position is None or position < end):
                    log.warning("follower_stands_still", topic=where.topic, position=position, end=end)
                    raise KafkaError(f"{where.topic} stands at {position} of {end}")
            try:
                ends = await consumer.end_offsets(partitions)
            except KafkaError:
                before, missed = {}, missed + 1
                if missed == LOOKS_MISSED:
                    raise
            else:
                missed = 0
                before = {where: (self._positions.get(where), ends[where]) for where in partitions}

    async def _follow(self, consumer: Consumer) -> None:
        partitions = assigned(consumer, *self._tables)
        self._positions.clear()
        self._begins()
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        await self._note_positions(consumer, partitions)
        while True:
            for where, records in (await consumer.getmany(timeout_ms=1_000)).items():
                for record in records:
                    if record.key is not None:
                        self._tables[where.topic](record.key.decode(), record.value)
            await self._note_positions(consumer, partitions)
            if all(self._positions[where] >= ends[where] for where in partitions):
                self.caught_up.set()

    async def _note_positions(self, consumer: Consumer, partitions: Iterable[TopicPartition]) -> None:
        for where in partitions:
            self._positions[where] = await consumer.position(where)
