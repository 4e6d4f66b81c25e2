"""Many keys in one partition, each in order, side by side: what the lanes cost, against a library made for this.

10,000 messages whose work is to wait 0 to 5 ms, read from real Kafka by the product's own lanes and runner with 100
calls at once, one at a time for each key; no database, no clinic. The peer is Confluent's Parallel Consumer 0.5.3.3
(Java, ``KEY`` order), measured with the same messages on a machine like ours.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.kafka_server import KafkaServer
from devstack.stack import RUN
from loadtest.bench.report import Result
from waiting_room.kafka import Producer
from waiting_room.settings import Settings
from workers.confirm.runner import Runner
from workers.pacing.disposition import FINISHED
from workers.pacing.lanes import Lanes
from workers.pacing.limit import FixedLimit
from workers.pacing.work import Rank, Ring, Verdict, Work

MESSAGES, LONGEST_SECONDS, CONCURRENCY = 10_000, 0.005, 100
PEER: Final = {1: 28.5, 20: 2.07, 1_000: 0.84}
"""Seconds by number of keys; what cannot be beaten is 25, 1.25 and 0.25."""

ROUNDS = 3
FOLDER = RUN / "bench-key-parallel"


@dataclass
class Drained:
    """``seconds`` until the last offset was committed; ``orders``: each key's messages as they were worked on."""

    orders: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0


async def measure(seed: int) -> Result:
    """The best of some rounds for each number of keys; the value is the largest share of the peer's time."""
    began = time.monotonic()
    kafka = KafkaServer(FOLDER / "data" / "kafka", heap="512m", log_file=FOLDER / "kafka.log")
    best: dict[int, float] = {}
    in_order = True
    try:
        await kafka.start()
        settings = Settings(kafka_bootstrap=kafka.bootstrap_servers)
        for keys in PEER:
            for attempt in range(1 if keys == 1 else ROUNDS):
                topic = f"bench.keys.{keys}.{attempt}"
                await _fill(settings, topic, keys, seed)
                drained = await _Reader(settings, topic).drain()
                in_order &= sum(map(len, drained.orders.values())) == MESSAGES
                in_order &= all(order == sorted(order) for order in drained.orders.values())
                best[keys] = min(best.get(keys, drained.seconds), drained.seconds)
    finally:
        await kafka.stop()
        shutil.rmtree(FOLDER / "data", ignore_errors=True)
    shares = {keys: best[keys] / PEER[keys] for keys in PEER}
    return Result(
        name="key-parallel",
        promise=f"{MESSAGES:,} messages of 0-5 ms in one partition, {CONCURRENCY} at once, each key in order",
        target="seconds at or under the peer's for 1, 20 and 1,000 keys",
        value=max(shares.values()),
        unit="of the peer's time, at the most",
        passed=in_order and max(shares.values()) <= 1.0,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        peer={f"Parallel Consumer 0.5.3.3, {keys:,} keys, s": seconds for keys, seconds in PEER.items()},
        rows={
            **{f"{keys:,} keys, s": seconds for keys, seconds in best.items()},
            "order kept in every key": in_order,
        },
        notes=[f"best of {ROUNDS}, for one key of one; from the first poll to the last offset committed"],
    )


async def _fill(settings: Settings, topic: str, keys: int, seed: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()
    chance = random.Random(seed)
    producer = Producer(settings)
    await producer.start()
    try:
        await producer.send_all(
            [
                (topic, 0, f"key-{number % keys}", repr(chance.uniform(0.0, LONGEST_SECONDS)).encode())
                for number in range(MESSAGES)
            ]
        )
    finally:
        await producer.stop()


class _Reader:
    """One partition, as the confirm worker reads it; a message's work is to wait."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._where = TopicPartition(topic, 0)
        self._partition = (topic, 0)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id="bench",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self._lanes = Lanes(
            calls_max=CONCURRENCY, lane_max=MESSAGES, gap_max=MESSAGES, make_limit=lambda key: FixedLimit(1)
        )
        self._runner = Runner(self._lanes, self._work, begins=lambda: None, changed=lambda: None)
        self._left = MESSAGES
        self._done = asyncio.Event()
        self._drained = Drained()

    async def drain(self) -> Drained:
        """Until every message is worked on and committed."""
        await self._consumer.start()
        self._consumer.assign([self._where])
        self._lanes.assigned([self._partition])
        started = time.monotonic()
        try:
            read = 0
            while read < MESSAGES:
                polled = await self._consumer.getmany(timeout_ms=200, max_records=500)
                now = time.monotonic()
                for record in polled.get(self._where, ()):
                    read += 1
                    ring = Ring(record.key.decode(), str(record.offset), Rank.NORMAL, self._partition, record.offset,
                                float(record.value))  # fmt: skip
                    self._lanes.offer(ring, now)
                self._runner.look_again()
            while not self._done.is_set():
                await self._commit()
                await asyncio.wait([asyncio.ensure_future(self._done.wait())], timeout=0.5)
            await self._commit()
            self._drained.seconds = time.monotonic() - started
        finally:
            await self._consumer.stop()
        return self._drained

    async def _work(self, work: Work) -> None:
        self._drained.orders[work.clinic_id].append(work.ring.offset)
        assert isinstance(work.ring.record, float)
        await asyncio.sleep(work.ring.record)
        now = time.monotonic()
        self._lanes.answered(work, now, Verdict.ANSWERED)
        self._lanes.finished(work, now, FINISHED)
        self._left -= 1
        if not self._left:
            self._done.set()

    async def _commit(self) -> None:
        offsets = self._lanes.offsets.committable()
        if offsets:
            await self._consumer.commit({self._where: offsets[self._partition]})
            self._lanes.offsets.committed(offsets)
