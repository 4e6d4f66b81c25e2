"""Says in PostgreSQL which clinics are down: sweep lets what waits there wait longer."""

from __future__ import annotations

import time
from collections.abc import Collection

import structlog

from waiting_room.store import outages
from waiting_room.store.faults import passes
from waiting_room.store.pool import Pool

log = structlog.get_logger(__name__)
SAY_AGAIN_SECONDS = 5.0


class Outages:
    """``look`` is called often; PostgreSQL is told of changes, and now and then that nothing has changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._said: set[str] = set()
        self._said_at = float("-inf")

    async def look(self, down: Collection[str], gone: Collection[str]) -> None:
        """``down``: clinics whose breakers are open; ``gone``: clinics that are another worker's to speak of now."""
        self._said.difference_update(gone)
        over, new = self._said.difference(down), set(down) - self._said
        now = time.monotonic()
        if not (over or new or (down and now - self._said_at >= SAY_AGAIN_SECONDS)):
            return
        try:
            async with self._pool.acquire() as conn:
                if over:
                    await outages.end(conn, sorted(over))
                if down:
                    await outages.say(conn, sorted(down))
        except Exception as error:
            if not passes(error):
                raise
            log.warning("outages_not_said", error=type(error).__name__)
            return
        self._said, self._said_at = set(down), now
        for clinic_id in sorted(new):
            log.warning("clinic_down", clinic_id=clinic_id)
        for clinic_id in sorted(over):
            log.warning("clinic_up", clinic_id=clinic_id)
