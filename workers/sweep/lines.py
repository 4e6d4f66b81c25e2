"""Says how long bookings wait, from PostgreSQL: true whatever becomes of hold, confirm and Kafka.

Every sweep says the same, so a reader takes the greatest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from waiting_room.store.faults import passes
from waiting_room.store.lines import WaitingLine, waiting
from waiting_room.store.pool import Pool
from waiting_room.supervise import pause
from waiting_room.telemetry import metrics
from waiting_room.telemetry.shown import Shown, quantiles, show

log = structlog.get_logger(__name__)
EVERY_SECONDS = 5.0


class LineWatch:
    """Looks every EVERY_SECONDS."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._shown = Shown()
        self._told: frozenset[str] = frozenset()

    async def run(self, finish: asyncio.Event) -> None:
        """Until told to finish. Faults that pass are left to the next look."""
        while not finish.is_set():
            try:
                async with self._pool.acquire() as conn:
                    lines = await waiting(conn)
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("lines_not_seen", error=type(error).__name__)
            else:
                self.say(lines)
            await pause(finish, EVERY_SECONDS)

    def say(self, lines: Sequence[WaitingLine]) -> None:
        """Take these lines into the gauges."""
        for state, down in (("up", False), ("down", True)):
            theirs = [line for line in lines if line.down is down]
            metrics.OLDEST_WAIT.labels(state).set(max((line.oldest_seconds for line in theirs), default=0.0))
            metrics.UNDECIDED.labels(state).set(sum(line.line for line in theirs))
            metrics.CLINICS_WAITING.labels(state).set(len(theirs))
        for gauge, values in (
            (metrics.LINE_QUANTILE, [float(line.line) for line in lines]),
            (metrics.OLDEST_WAIT_QUANTILE, [line.oldest_seconds for line in lines]),
        ):
            for q, value in quantiles(values).items():
                gauge.labels(f"{q:g}").set(value)
        oldest = {line.clinic_id: line.oldest_seconds for line in lines}
        chosen = self._shown.choose(oldest, {line.clinic_id for line in lines if line.down})
        show(metrics.CLINIC_OLDEST_WAIT, {clinic_id: oldest[clinic_id] for clinic_id in chosen}, self._told)
        self._told = chosen
