"""The supervisor of confirm workers as others scale consumers: by what is not committed yet. A benchmark's peer.

``python -m loadtest.lag_scaler THRESHOLD``: ceil(lag / THRESHOLD) workers, never more than partitions, as KEDA's
Kafka scaler has it. Everything else is the product's own supervisor.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import ceil

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from waiting_room.kafka import connection
from waiting_room.settings import Settings, load
from waiting_room.supervise import Task, stop_on_signals, supervise
from waiting_room.telemetry import logs
from waiting_room.telemetry.health import HealthServer
from waiting_room.topics import CLINIC_CONFIRMATIONS
from workers.confirm.intake import GROUP
from workers.supervise.supervisor import NAME, Supervisor, shutdown_seconds


class LagScaler(Supervisor):
    """Asks Kafka, whatever the workers say that they need."""

    def __init__(
        self, settings: Settings, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, threshold: int
    ) -> None:
        super().__init__(settings)
        self._admin, self._consumer = admin, consumer
        self._partitions = [
            TopicPartition(CLINIC_CONFIRMATIONS, number) for number in range(settings.kafka_clinic_partitions)
        ]
        self._threshold = threshold

    async def desired(self, needed: Sequence[float]) -> int:
        """Raises KafkaError."""
        ends = await self._consumer.end_offsets(self._partitions)
        done = await self._admin.list_consumer_group_offsets(GROUP)
        lag: int = sum(end - max(done[each].offset, 0) if each in done else end for each, end in ends.items())
        return min(max(ceil(lag / self._threshold), 1), len(self._partitions))


async def _run(threshold: int) -> None:
    settings = load()
    logs.configure(NAME, settings.log_level)
    admin = AIOKafkaAdminClient(**connection(settings))
    consumer = AIOKafkaConsumer(**connection(settings))
    await admin.start()
    await consumer.start()
    try:
        health = HealthServer(settings.metrics_host, settings.metrics_port, (NAME,))
        tasks: dict[str, Task] = {NAME: LagScaler(settings, admin, consumer, threshold).run, "health": health.run}
        await supervise(stop_on_signals(), tasks, shutdown_seconds=shutdown_seconds(settings))
    finally:
        await consumer.stop()
        await admin.close()


if __name__ == "__main__":
    uvloop.run(_run(int(sys.argv[1])))
