"""From Kafka to the lanes and back: doorbells read, partitions paused, offsets committed, the unreadable put aside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from waiting_room.dead_letters import put_aside
from waiting_room.kafka import Producer, group_consumer, stop_in_time
from waiting_room.messages import Unreadable
from waiting_room.settings import Settings
from waiting_room.telemetry.health import say_ready
from waiting_room.telemetry.lag import ConsumerLag
from waiting_room.topics import CLINIC_CONFIRMATIONS, CLINIC_CONFIRMATIONS_PRIORITY
from workers.confirm.adopting import Adopting
from workers.confirm.clinics import Clinics
from workers.confirm.doorbell import ring_of
from workers.confirm.runner import Runner
from workers.pacing.lanes import Lanes
from workers.pacing.offsets import Partition
from workers.pacing.work import Ring

log = structlog.get_logger(__name__)
GROUP = "confirm"
TOPICS = (CLINIC_CONFIRMATIONS, CLINIC_CONFIRMATIONS_PRIORITY)
READ_AT_ONCE = 500
"""By so many doorbells a lane may outgrow its bound before its partition is paused."""
AGAIN_SECONDS = 0.5


class Intake(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of the group ``confirm``. The range assignor gives it a clinic's partition of both topics."""

    def __init__(
        self, settings: Settings, lanes: Lanes, clinics: Clinics, adopting: Adopting, producer: Producer
    ) -> None:
        self._lanes = lanes
        self._clinics = clinics
        self._adopting = adopting
        self._producer = producer
        # A long absence of PostgreSQL is waited out here; heartbeats go on beside it.
        self._consumer = group_consumer(settings, GROUP, max_poll_interval_ms=3_600_000)
        self._lag = ConsumerLag(GROUP)
        self._assignments = 0
        self._assigned = False
        self._paused: frozenset[Partition] = frozenset()

    async def start(self) -> None:
        """Join the group. Raises KafkaError while no broker answers."""
        await self._consumer.start()
        self._consumer.subscribe(list(TOPICS), listener=self)

    async def stop(self) -> None:
        """Commit and leave the group."""
        try:
            await self.commit()
        finally:
            await stop_in_time(self._consumer)

    async def read(self, runner: Runner, finish: asyncio.Event) -> None:
        """Line up what is rung for, until told to finish."""
        finishing = asyncio.create_task(finish.wait(), name="finish reading")
        try:
            while not finish.is_set():
                # While the group rebalances this waits, whatever the timeout.
                polling = asyncio.create_task(self._poll(), name="poll doorbells")
                await asyncio.wait({polling, finishing}, return_when=asyncio.FIRST_COMPLETED)
                if not polling.done():
                    polling.cancel()
                    await asyncio.gather(polling, return_exceptions=True)
                    return
                records, assignments = polling.result()
                if records:
                    await self._take(records, assignments)
                    runner.look_again()
        finally:
            finishing.cancel()

    async def commit(self) -> None:
        """Store the lowest unfinished offsets; what is not committed is read again and found done."""
        ours = self._consumer.assignment()
        self._lag.assigned(ours)
        offsets = {
            where: offset
            for partition, offset in self._lanes.offsets.committable().items()
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
            self._lanes.offsets.committed({tuple(where): offset for where, offset in offsets.items()})
            self._lag.committed(offsets)

    def apply_pauses(self) -> None:
        """Pause and resume as the lanes ask, and until partitions that are new to us are adopted."""
        unread = {(topic, number) for number in self._adopting.waiting for topic in TOPICS}
        wanted = self._lanes.pauses | unread
        if wanted == self._paused:
            return
        ours = self._consumer.assignment()
        self._consumer.pause(*_these(wanted - self._paused, ours))
        self._consumer.resume(*_these(self._paused - wanted, ours))
        self._paused = wanted

    @property
    def paused(self) -> int:
        """Partitions that are not read for now because a lane is full."""
        return len(self._lanes.pauses)

    @property
    def settled(self) -> bool:
        """Whether we know what is ours: not while the group rebalances."""
        return self._assigned and not self._adopting.waiting

    async def put_aside(self, record: ConsumerRecord, reason: str) -> None:
        """Write the record to the dead-letter topic; waits for Kafka as long as it takes."""
        while True:
            try:
                await put_aside(self._producer, record, reason)
                return
            except KafkaError as error:
                log.warning("putting_aside_again", error=type(error).__name__)
                await asyncio.sleep(AGAIN_SECONDS)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Commit what is finished. Calls under way go on: their claims are ours, whoever reads the partition."""
        if revoked:
            await self.commit()
        self._forget([tuple(where) for where in revoked])

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Read from what was committed; a new assignment starts unpaused.

        Nothing here may wait: the consumer could hand out records before the lanes know their partitions.
        """
        self._lanes.assigned([tuple(where) for where in assigned])
        self._adopting.assigned({where.partition for where in assigned})
        self._assigned = True
        self._paused = frozenset()
        self.apply_pauses()
        log.info("partitions_assigned", partitions=len({where.partition for where in assigned}))
        say_ready(GROUP)

    def join_anew(self) -> None:
        """The group may have given our partitions to others without our knowing: start nothing of them any more."""
        self._forget(self._lanes.offsets.assignment)
        self._consumer.subscribe(list(TOPICS), listener=self)

    def _forget(self, partitions: Collection[Partition]) -> None:
        self._assignments += 1
        self._assigned = False
        self._adopting.revoked({number for _, number in partitions})
        self._lanes.revoked(partitions, time.monotonic())

    async def _poll(self) -> tuple[list[ConsumerRecord], int]:
        """Records, and which assignment they are of."""
        polled = await self._consumer.getmany(timeout_ms=200, max_records=READ_AT_ONCE)
        self._lag.read(polled)
        return [record for batch in polled.values() for record in batch], self._assignments

    async def _take(self, records: list[ConsumerRecord], assignments: int) -> None:
        """Offer what was read, each partition in the order of its offsets."""
        read: list[tuple[ConsumerRecord, Ring | str | None]] = [(record, _read(record)) for record in records]
        await self._clinics.know({ring.clinic_id for _, ring in read if isinstance(ring, Ring)})
        await self._clinics.check(
            {(ring.clinic_id, record.partition) for record, ring in read if isinstance(ring, Ring)}
        )
        for at, (record, ring) in enumerate(read):
            if isinstance(ring, Ring) and ring.clinic_id not in self._clinics.systems:
                read[at] = record, f"unknown clinic {ring.clinic_id}"
        for record, reason in read:
            if isinstance(reason, str):
                await self.put_aside(record, reason)
        if assignments != self._assignments:
            return  # its partitions moved meanwhile: whoever has them now reads from what was committed
        now = time.monotonic()
        for record, ring in read:
            if not isinstance(ring, Ring):
                self._lanes.pass_over((record.topic, record.partition), record.offset)
                continue
            system = self._clinics.systems[ring.clinic_id]
            in_its_place = system.partition == record.partition
            if not in_its_place or (system.moved and not self._lanes.has(ring.clinic_id)):
                # There is more of its line than is rung for here, calls of its earlier worker's perhaps.
                self._lanes.adopt(ring.clinic_id, (CLINIC_CONFIRMATIONS, system.partition), now)
            if in_its_place:
                self._lanes.offer(ring, now)
            else:
                self._lanes.pass_over((record.topic, record.partition), record.offset)


def _read(record: ConsumerRecord) -> Ring | str | None:
    """The ring; why it cannot be read; or None where there is nothing to do."""
    try:
        return ring_of(record)
    except Unreadable as error:
        return str(error)


def _these(partitions: Iterable[Partition], ours: Collection[TopicPartition]) -> list[TopicPartition]:
    return [where for each in partitions if (where := TopicPartition(*each)) in ours]
