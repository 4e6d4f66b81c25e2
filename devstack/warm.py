"""Writes one record nobody counts to every partition that bookings go through.

The first write to a partition creates its files; hundreds of them in a Monday's first second cost seconds.
"""

from __future__ import annotations

from waiting_room import topics
from waiting_room.kafka import Producer
from waiting_room.messages import Probe, encode
from waiting_room.settings import Settings


async def warm_partitions(settings: Settings) -> None:
    """Returns when every partition has its files. Readers of these topics pass over probes."""
    producer = Producer(settings)
    await producer.start()
    try:
        probe = encode(Probe(sent_by="warm-up"))
        records = [
            (topic.name, partition, "", probe)
            for topic in topics.TOPICS
            if topic.per_clinic
            for partition in range(topic.partition_count(settings.kafka_clinic_partitions))
        ]
        await producer.send_all(records)
    finally:
        await producer.stop()
