"""Says whether the months of seat claims are looked after, so that somebody is told long before a booking finds none.

Every sweep says the same.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from waiting_room import storage
from waiting_room.settings import Settings
from waiting_room.storage import Limits, Standing
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics

log = structlog.get_logger(__name__)
EVERY_SECONDS: Final = 60.0


class MonthWatch:
    """Looks every EVERY_SECONDS. Whoever looks after them is another: it takes the schema's owner."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._limits = Limits.of(settings)
        self._pool = pool

    async def run(self, finish: asyncio.Event) -> None:
        """Until told to finish. Faults that pass are left to the next look."""
        while not finish.is_set():
            try:
                async with self._pool.acquire() as conn:
                    stands = await storage.look(conn, self._limits)
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("months_not_seen", error=type(error).__name__)
            else:
                self.say(stands)
            await pause(finish, EVERY_SECONDS)

    def say(self, stands: Standing) -> None:
        """Take this into the gauges."""
        metrics.CLAIM_DAYS_SPARE.set(stands.spare)
        metrics.CLAIM_DAYS_OVERDUE.set(stands.overdue)
