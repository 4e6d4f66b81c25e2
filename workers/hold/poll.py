"""Reading booking.requests in lines side by side, and committing behind them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from waiting_room.telemetry import metrics
from waiting_room.telemetry.lag import ConsumerLag
from workers.hold.waiting import Waiting
from workers.pacing.offsets import Offsets

log = structlog.get_logger(__name__)
Take = Callable[[Sequence[ConsumerRecord]], Awaitable[Sequence[ConsumerRecord]]]
"""Does what is to be done for these records; returns those that must wait. What is done with it says to ``offsets``."""

LINES = 3
"""While PostgreSQL works on one batch, this process prepares another. A partition's records stay in one line, in
order. Two lines share no clinic but for one that is moving, so neither waits for the other's locks."""
WAITING_BATCHES = 2
COMMIT_EVERY_SECONDS = 0.5
TRY_AGAIN_SECONDS = 0.2
"""How often it is looked whether what waits must go on waiting: the word it waits for may be read by another worker."""


class Poll:
    """Hands records to ``take``, at most ``batch_max`` at once a line, and commits what ``offsets`` says is done."""

    def __init__(
        self, consumer: AIOKafkaConsumer, take: Take, offsets: Offsets, batch_max: int, lag: ConsumerLag
    ) -> None:
        self._consumer = consumer
        self._take = take
        self._offsets = offsets
        self._batch_max = batch_max
        self._lag = lag
        self._committed_at = 0.0
        self._waiting = [Waiting() for _ in range(LINES)]
        metrics.HOLD_WAITING.set_function(lambda: sum(map(len, self._waiting)))

    async def run(self, finish: asyncio.Event) -> None:
        """Read until told to finish, then work off what was read and commit. Raises what ``take`` raises.

        What waits then is read again by the next owner of its partition.
        """
        queues = [asyncio.Queue[Sequence[ConsumerRecord] | None](WAITING_BATCHES) for _ in range(LINES)]
        lines = [
            asyncio.create_task(self._line(queue, waiting), name="hold line")
            for queue, waiting in zip(queues, self._waiting, strict=True)
        ]
        try:
            while not finish.is_set():
                for line in lines:
                    if line.done():  # at once: nobody may book there for hours, and what it had in hand is not held
                        line.result()
                polled = await self._consumer.getmany(timeout_ms=200, max_records=LINES * self._batch_max)
                self._lag.read(polled)
                for where, records in polled.items():
                    for record in records:
                        self._offsets.started(tuple(where), record.offset)
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

    async def _line(self, queue: asyncio.Queue[Sequence[ConsumerRecord] | None], waiting: Waiting) -> None:
        clock = asyncio.get_running_loop().time
        tried_at = clock()
        read: deque[ConsumerRecord] = deque()
        goes_on = True
        while read or goes_on:
            try:
                async with asyncio.timeout(TRY_AGAIN_SECONDS if waiting else None):
                    goes_on = goes_on and await self._fill(read, queue)
            except TimeoutError:
                pass
            batch = waiting.ready(read.popleft() for _ in range(min(len(read), self._batch_max)))
            if batch:
                for _, partition, key in waiting.add(await self._take(batch)):
                    log.info("clinic_waits_for_its_marker", clinic_id=key.decode(), partition=partition)
            if clock() - tried_at >= TRY_AGAIN_SECONDS:
                await self._try_again(waiting)
                tried_at = clock()

    async def _try_again(self, waiting: Waiting) -> None:
        for line in waiting.lines():
            for batch in waiting.batches(line, self._batch_max):
                must_wait = {record.offset for record in await self._take(batch)}
                if waiting.done(line, [record for record in batch if record.offset not in must_wait]):
                    log.info("clinic_waits_no_more", clinic_id=line[2].decode(), partition=line[1])
                if must_wait:
                    break

    async def _fill(self, read: deque[ConsumerRecord], queue: asyncio.Queue[Sequence[ConsumerRecord] | None]) -> bool:
        """Wait for records where there are none, and take what else is there already: a transaction costs the same
        whether its batch is full or not. Whether more may come.
        """
        while not read or (len(read) < self._batch_max and not queue.empty()):
            records = await queue.get()
            if records is None:
                return False
            read.extend(records)
        return True

    async def _commit(self, *, now: bool = False) -> None:
        """At most every COMMIT_EVERY_SECONDS: what is not committed is only read again."""
        time = asyncio.get_running_loop().time()
        if not now and time - self._committed_at < COMMIT_EVERY_SECONDS:
            return
        self._committed_at = time
        ours = self._consumer.assignment()
        self._lag.assigned(ours)
        offsets = {
            where: offset
            for partition, offset in self._offsets.committable().items()
            if (where := TopicPartition(*partition)) in ours
        }
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("commit_left_to_the_next_owner", error=type(error).__name__)
        except KafkaError as error:
            log.warning("commit_failed", error=type(error).__name__)
        else:
            self._offsets.committed({tuple(where): offset for where, offset in offsets.items()})
            self._lag.committed(offsets)


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
    if not (queue.full() or line.done()):
        # At once: a turn of the loop takes long while lines work, and another of them may have nothing to do.
        queue.put_nowait(records)
        return
    putting = asyncio.create_task(queue.put(records))
    await asyncio.wait({putting, line}, return_when=asyncio.FIRST_COMPLETED)
    if not putting.done():
        putting.cancel()
    if line.done():
        line.result()
