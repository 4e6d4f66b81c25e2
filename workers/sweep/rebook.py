"""Has hold rebook who is short of a dose to where there are some: by a command, as a clinic that closes does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog

from waiting_room.kafka import Producer
from waiting_room.messages import Shortage, encode
from waiting_room.store import stock
from waiting_room.store.pool import Pool
from waiting_room.telemetry import metrics
from waiting_room.topics import BOOKING_REQUESTS

log = structlog.get_logger(__name__)
AGAIN_SECONDS = 600.0
"""A shortage that is left is looked at again: calendars change, and what was in the way may be gone."""
COUNTS_FOR = timedelta(days=1)


async def rebook(pool: Pool, producer: Producer) -> int:
    """How many products of clinics it was asked for. Raises KafkaError and database errors; what was noted as asked and
    was not appended is asked for again in its time.
    """
    async with pool.acquire() as conn:
        short = await stock.to_rebook(conn, AGAIN_SECONDS)
    if not short:
        return 0
    now = datetime.now(UTC)
    await producer.send_all(
        [
            (
                BOOKING_REQUESTS,
                partition,
                clinic_id,
                encode(Shortage(clinic_id=clinic_id, product=product, requested_at=now, accept_by=now + COUNTS_FOR)),
            )
            for clinic_id, product, partition in short
        ]
    )
    metrics.SWEPT.labels("rebooking").inc(len(short))
    for clinic_id, product, _ in short:
        log.info("shortage", clinic_id=clinic_id, product=product)
    return len(short)
