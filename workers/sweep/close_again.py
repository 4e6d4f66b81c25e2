"""Has hold move who is booked in a time that their clinic has closed, where nobody does, by the closure's command.

The command follows the transaction that blocks the time, so it may be lost between the two; and who was just being
moved by a wish of their own is left to that, which may come to nothing.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from waiting_room.kafka import Producer
from waiting_room.messages import Closure, encode
from waiting_room.store import closures
from waiting_room.store.closures import StillBooked
from waiting_room.store.pool import Pool
from waiting_room.telemetry import metrics
from waiting_room.topics import BOOKING_REQUESTS

log = structlog.get_logger(__name__)
LOOK_EVERY_SECONDS = 30.0
AFTER_SECONDS = 60.0
"""Hold has moved them by then, or has much to do: a closure that is read again finds nothing left."""
COUNTS_FOR = timedelta(days=1)


class ClosingAgain:
    """Looks every LOOK_EVERY_SECONDS."""

    def __init__(self, pool: Pool, producer: Producer) -> None:
        self._pool = pool
        self._producer = producer
        self._look_at = float("-inf")

    async def look(self) -> int:
        """For how many providers it was asked. Raises KafkaError and database errors; what was noted as asked and was
        not appended is asked for again in its time.
        """
        clock = asyncio.get_running_loop().time()
        if clock < self._look_at:
            return 0
        self._look_at = clock + LOOK_EVERY_SECONDS
        async with self._pool.acquire() as conn:
            found = await closures.still_booked(conn, AFTER_SECONDS)
        if found:
            now = datetime.now(UTC)
            await self._producer.send_all(
                [(BOOKING_REQUESTS, each.partition, each.clinic_id, encode(_command(each, now))) for each in found]
            )
        metrics.SWEPT.labels("closing_again").inc(len(found))
        for each in found:
            log.info("closing_again", clinic_id=each.clinic_id, provider_id=each.provider_id)
        return len(found)


def _command(found: StillBooked, now: datetime) -> Closure:
    return Closure(
        clinic_id=found.clinic_id,
        closure_id=found.closure_id,
        provider_ids=(found.provider_id,),
        from_at=found.from_at,
        to_at=found.to_at,
        requested_at=now,
        accept_by=now + COUNTS_FOR,
    )
