"""Rings again for bookings that have work at their clinic and are in nobody's lane.

A doorbell can be lost (a restored topic, a lane that overflowed) and a caller can die. A doorbell rung twice is heard
once, so this may ring too often but never too rarely.
"""

from __future__ import annotations

from waiting_room.domain.appointment import ClinicState
from waiting_room.kafka import Producer
from waiting_room.messages import Confirmation, encode
from waiting_room.store import due
from waiting_room.store.due import Unheard
from waiting_room.store.pool import Pool
from waiting_room.telemetry import metrics
from waiting_room.topics import CLINIC_CONFIRMATIONS, CLINIC_CONFIRMATIONS_PRIORITY

ROUND_MAX = 1_000


async def ring(pool: Pool, producer: Producer, ring_after_seconds: float) -> int:
    """Ring for up to ROUND_MAX bookings; for how many. Raises KafkaError and database errors."""
    async with pool.acquire() as conn:
        unheard = await due.ring(conn, ring_after_seconds=ring_after_seconds, limit=ROUND_MAX)
    if unheard:
        await producer.send_all([_doorbell(each) for each in unheard])
        metrics.SWEPT.labels("rung").inc(len(unheard))
    return len(unheard)


def _doorbell(booking: Unheard) -> tuple[str, int, str, bytes]:
    """Withdrawals go first: they free seats."""
    withdrawing = booking.clinic_state is ClinicState.WITHDRAWING
    message = Confirmation(
        booking_ref=booking.booking_ref,
        clinic_id=booking.clinic_id,
        revision=booking.revision,
        ticket=booking.ticket,
        held_at=booking.held_at,
    )
    topic = CLINIC_CONFIRMATIONS_PRIORITY if withdrawing else CLINIC_CONFIRMATIONS
    return topic, booking.partition, booking.clinic_id, encode(message)
