"""The records of the compacted topics that tell every process who may do what where: clinics and API keys."""

from __future__ import annotations

from collections.abc import Iterable

from waiting_room import messages, topics
from waiting_room.kafka import Producer
from waiting_room.messages import AccessKey, DirectoryEntry

Announcement = DirectoryEntry | AccessKey

PARTITION = 0
"""Both topics have one, and so have clinic.pulse and intake.keys."""


def address_of(record: Announcement) -> tuple[str, str]:
    """The topic it belongs to and its key there."""
    if isinstance(record, AccessKey):
        return topics.ACCESS_KEYS, record.key_id
    return topics.CLINIC_DIRECTORY, record.clinic.clinic_id


async def publish(producer: Producer, records: Iterable[Announcement]) -> None:
    """Write them in order and wait for every acknowledgement. Raises KafkaError."""
    addressed = [(address_of(record), messages.encode(record)) for record in records]
    await producer.send_all([(topic, PARTITION, key, value) for (topic, key), value in addressed])
