"""Reading booking.requests in lines side by side, and committing behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

log = structlog.get_logger(__name__)
Take = Callable[[Sequence[ConsumerRecord]], Awaitable[None]]
LINES = 3
"""While PostgreSQL works on one batch, this process prepares another. A partition's records stay in one line, in
order; two lines share no clinic, so neither waits for the other's locks."""
WAITING_BATCHES = 2
COMMIT_EVERY_SECONDS = 0.5


class Poll:
    """Hands records to ``take``, at most ``batch_max`` at once a line; what it returns for may be committed."""

    def __init__(self, consumer: AIOKafkaConsumer, take: Take, batch_max: int) -> None:
        self._consumer = consumer
        self._take = take
        self._batch_max = batch_max
        self._done: dict[TopicPartition, int] = {}
        self._committed_at = 0.0

    async def run(self, finish: asyncio.Event) -> None:
        """Read until told to finish, then work off what was read and commit. Raises what ``take`` raises."""
        queues = [asyncio.Queue[Sequence[ConsumerRecord] | None](WAITING_BATCHES) for _ in range(LINES)]
        lines = [asyncio.create_task(self._line(queue), name="hold line") for queue in queues]
        try:
            while not finish.is_set():
                polled = await self._consumer.getmany(timeout_ms=200, max_records=LINES * self._batch_max)
                for queue, line, records in zip(queues, lines, _apart(polled), strict=True):
                    if records:
                        await _put(queue, records, line)
                await self._commit()
            for queue, line in zip(queues, lines, strict=True):
                await _put(queue, None, line)
            await asyncio.gather(*lines)
            await self._commit(now=True)
        finally:
            for line in lines:
                line.cancel()
            await asyncio.gather(*lines, return_exceptions=True)

    def forget(self, partitions: set[TopicPartition]) -> None:
        """These are another worker's now: what was not committed it finds done."""
        for where in partitions:
            self._done.pop(where, None)

    async def _line(self, queue: asyncio.Queue[Sequence[ConsumerRecord] | None]) -> None:
        while (records := await queue.get()) is not None:
            for at in range(0, len(records), self._batch_max):
                batch = records[at : at + self._batch_max]
                await self._take(batch)
                for record in batch:
                    self._done[TopicPartition(record.topic, record.partition)] = record.offset + 1

    async def _commit(self, *, now: bool = False) -> None:
        """At most every COMMIT_EVERY_SECONDS: what is not committed is only read again."""
        time = asyncio.get_running_loop().time()
        if not self._done or (not now and time - self._committed_at < COMMIT_EVERY_SECONDS):
            return
        self._committed_at = time
        ours = self._consumer.assignment()
        offsets = {where: offset for where, offset in self._done.items() if where in ours}
        self._done.clear()
        try:
            if offsets:
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("commit_left_to_the_next_owner", error=type(error).__name__)
        except KafkaError as error:
            log.warning("commit_failed", error=type(error).__name__)


def _apart(polled: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> list[list[ConsumerRecord]]:
    lines: list[list[ConsumerRecord]] = [[] for _ in range(LINES)]
    for where, records in polled.items():
        lines[where.partition % LINES].extend(records)
    return lines


async def _put(
    queue: asyncio.Queue[Sequence[ConsumerRecord] | None],
    records: Sequence[ConsumerRecord] | None,
    line: asyncio.Task[None],
) -> None:
    """Wait for room in the queue, but not for a line that has died. Raises what it died of."""
    putting = asyncio.create_task(queue.put(records))
    await asyncio.wait({putting, line}, return_when=asyncio.FIRST_COMPLETED)
    if not putting.done():
        putting.cancel()
    if line.done():
        line.result()
