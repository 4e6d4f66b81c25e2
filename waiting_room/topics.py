"""The one list of topics: names, partitions, retention, and what a record's key is.

Clinics map to partitions by an explicit, versioned assignment (``Clinic.partition``), never by a hash of the key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

BOOKING_REQUESTS: Final = "booking.requests"
CLINIC_CONFIRMATIONS: Final = "clinic.confirmations"
CLINIC_CONFIRMATIONS_PRIORITY: Final = "clinic.confirmations.priority"
BOOKING_EVENTS: Final = "booking.events"
CLINIC_PULSE: Final = "clinic.pulse"
CLINIC_DIRECTORY: Final = "clinic.directory"
ACCESS_KEYS: Final = "access.keys"
INTAKE_KEYS: Final = "intake.keys"

_DAY_MS: Final = 24 * 3600 * 1000
_COMPACTED: Final = {
    "cleanup.policy": "compact",
    "segment.ms": "60000",
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "86400000",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """``per_clinic``: has as many partitions as there are clinic partitions, so that it is co-assigned."""

    name: str
    key: str
    partitions: int = 0
    per_clinic: bool = False
    config: dict[str, str] = field(default_factory=dict)

    def partition_count(self, clinic_partitions: int) -> int:
        return clinic_partitions if self.per_clinic else self.partitions


def dead_letters_of(topic: str) -> str:
    """The topic that takes what cannot be processed of ``topic``; one for both topics of doorbells."""
    return f"{CLINIC_CONFIRMATIONS if topic == CLINIC_CONFIRMATIONS_PRIORITY else topic}.dlq"


TOPICS: Final = (
    Topic(
        BOOKING_REQUESTS,
        key="clinic_id",
        per_clinic=True,
        # The broker's clock decides against accept_by: a record's timestamp is when it was appended.
        config={"retention.ms": str(7 * _DAY_MS), "message.timestamp.type": "LogAppendTime"},
    ),
    Topic(CLINIC_CONFIRMATIONS, "clinic_id", per_clinic=True, config={"retention.ms": str(14 * _DAY_MS)}),
    Topic(
        CLINIC_CONFIRMATIONS_PRIORITY,
        "clinic_id",
        per_clinic=True,
        config={"retention.ms": str(14 * _DAY_MS)},
    ),
    Topic(BOOKING_EVENTS, "clinic_id", partitions=48, config={"retention.ms": str(30 * _DAY_MS)}),
    # What a worker has learnt outlives it by some days, its record not for ever: worker ids come and go.
    Topic(
        CLINIC_PULSE,
        "worker_id",
        partitions=1,
        config={**_COMPACTED, "cleanup.policy": "compact,delete", "retention.ms": str(7 * _DAY_MS)},
    ),
    Topic(CLINIC_DIRECTORY, "clinic_id", partitions=1, config=_COMPACTED),
    Topic(ACCESS_KEYS, "key_id", partitions=1, config=_COMPACTED),
    # Deleted, not compacted: when a key is gone nobody can open what was sealed under it (intake_keys.KEPT).
    Topic(
        INTAKE_KEYS,
        "key_id",
        partitions=1,
        config={"retention.ms": str(9 * _DAY_MS), "segment.ms": str(_DAY_MS // 24)},
    ),
    *(
        Topic(
            dead_letters_of(source),
            key="the source's key",
            partitions=8,
            config={"retention.ms": str(90 * _DAY_MS)},
        )
        for source in (BOOKING_REQUESTS, CLINIC_CONFIRMATIONS, BOOKING_EVENTS)
    ),
)


def events_partition(clinic_partition: int, events_partitions: int) -> int:
    """Where a clinic's events go in ``booking.events``; all of one clinic to one partition, in order. The partition is
    the one the clinic began in: its events do not move with it.
    """
    return clinic_partition % events_partitions
