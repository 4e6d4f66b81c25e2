"""A clinic says that a slot is gone: where the patient named a range, hold is asked for the next one that fits.

Appended once for each slot that was refused, and once more for each time that is asked for again: hold takes the same
wish once. Should it be lost between the outcome and here, the booking comes due again, its clinic says no again, and
so do we.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import structlog
from aiokafka.errors import KafkaError

from waiting_room.domain.appointment import By
from waiting_room.kafka import Producer
from waiting_room.messages import Reschedule, TimeRange, encode
from waiting_room.store.booking import Booking
from waiting_room.topics import BOOKING_REQUESTS
from workers.confirm.clinics import Clinics

log = structlog.get_logger(__name__)
COUNTS_FOR = timedelta(days=1)


class NextSlot:
    def __init__(self, producer: Producer, clinics: Clinics) -> None:
        self._producer = producer
        self._clinics = clinics

    async def ask(self, booking: Booking) -> None:
        """Behind whatever else was asked of its clinic. When Kafka is away the booking comes due again by itself."""
        system = self._clinics.systems.get(booking.clinic_id)
        if system is None or booking.start_at is None or booking.range_to is None:
            return
        now = datetime.now(UTC)
        refused = f"slot gone {booking.booking_ref} {booking.known_state.revision}"
        command = Reschedule(
            booking_ref=booking.booking_ref,
            clinic_id=booking.clinic_id,
            app_id=None,
            key_hash=sha256(refused.encode()).digest(),
            requested_at=now,
            accept_by=now + COUNTS_FOR,
            range=TimeRange(booking.start_at + timedelta(microseconds=1), booking.range_to),
            by=By.SERVICE,
        )
        try:
            await self._producer.send(BOOKING_REQUESTS, system.partition, booking.clinic_id, encode(command))
        except KafkaError as error:
            log.warning("next_slot_not_asked", booking_ref=booking.booking_ref, error=type(error).__name__)
