"""What webhooks read booking.events for: the deliveries that public events ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from waiting_room.messages import BookingEvent
from waiting_room.store import webhooks
from waiting_room.store.pool import Pool
from waiting_room.store.webhooks import Notice
from waiting_room.telemetry.health import say_ready
from workers.webhooks.message import notice_of

GROUP: Final = "webhooks"


class Deliveries:
    """A purpose of ``workers.event_intake``."""

    group = GROUP

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def started(self) -> None:
        say_ready("webhooks")

    def wanted(self, event: BookingEvent) -> Notice | None:
        return notice_of(event)

    async def store(self, wanted: Sequence[Notice]) -> int:
        async with self._pool.acquire() as conn:
            return await webhooks.enlist(conn, wanted)
