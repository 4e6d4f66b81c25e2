"""What an answer means for a delivery and its endpoint: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from waiting_room.store.webhooks import Delivery, Settled
from workers.webhooks.schedule import again_in, retry_after_seconds

GONE: Final = 410
"""By the Standard Webhooks specification: send this endpoint nothing any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` of the endpoint, or the ``error`` that kept it from giving one."""

    status: int | None
    error: str | None = None
    retry_after: str | None = None

    @property
    def yes(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def settle(delivery: Delivery, answer: Answer, pauses: Sequence[float], *, chance: float, now: datetime) -> Settled:
    """Delivered, due again, or failed for good. ``chance`` in [0, 1) spreads the retries."""
    again_in_seconds = None
    if not answer.yes and answer.status != GONE:
        again_in_seconds = again_in(
            delivery.attempts + 1,
            pauses,
            chance=chance,
            retry_after_seconds=retry_after_seconds(answer.retry_after, now),
        )
    return Settled(
        delivery.endpoint_id,
        delivery.clinic_id,
        delivery.seq,
        delivery.lease_until,
        "delivered" if answer.yes else "failed" if again_in_seconds is None else "due",
        again_in_seconds,
        answer.status,
        answer.error,
    )
