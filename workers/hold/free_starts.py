"""How much a clinic has left to give: so that nobody is let into a line at the end of which there is nothing.

An upper bound, cheap to keep: all starts of the shortest service within the horizon, by the rules, less the claims
that stand. While the bound is above zero there may still be nothing that fits; hold tells that booking by booking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from waiting_room.domain.availability.expand import count_starts
from waiting_room.domain.directory import Provider
from waiting_room.domain.schedule import calendar_of, clinic_days, provider_day_starts
from waiting_room.store import holds
from waiting_room.store.faults import passes
from waiting_room.store.holds import Rules
from waiting_room.store.pool import Pool
from waiting_room.supervise import pause

log = structlog.get_logger(__name__)
LOOK_SECONDS, COUNT_AGAIN_SECONDS = 1.0, 60.0
A_DAY = timedelta(days=1)


def starts_within(rules: Rules, now: datetime, days: int) -> int:
    """Seats times starts of each provider's most frequent service, from ``now`` on for so many days. Pure."""
    until = now + timedelta(days=days)
    total = 0
    for provider in rules.providers.values():
        durations = {
            rules.service_types[name].duration_minutes for name in provider.service_types if name in rules.service_types
        }
        most = max((_starts(provider, each, rules.timezone, now, until) for each in durations), default=0)
        total += provider.capacity * most
    return total


def _starts(provider: Provider, duration: int, timezone: str, now: datetime, until: datetime) -> int:
    first, last = clinic_days(timezone, now, until)
    whole = count_starts(calendar_of(provider), duration, timezone, first + A_DAY, last - A_DAY)
    ends = (start for day in {first, last} for start in provider_day_starts(provider, duration, timezone, day))
    return whole + sum(now <= start < until for start in ends)


class FreeStarts:
    """Counted anew once a minute for clinics that are booked at; in between what is held is subtracted.

    ``rules`` is shared with hold's batches.
    """

    def __init__(self, pool: Pool, rules: Mapping[str, Rules], days: int) -> None:
        self._pool = pool
        self._rules = rules
        self._days = days
        self._free: dict[str, int] = {}
        self._counted_at: dict[str, float] = {}
        self._seen: set[str] = set()

    def held(self, clinic_id: str, bookings: int) -> int | None:
        """What is left after so many more; None until it was counted."""
        self._seen.add(clinic_id)
        free = self._free.get(clinic_id)
        if free is not None:
            free = self._free[clinic_id] = max(free - bookings, 0)
        return free

    async def run(self, finish: asyncio.Event) -> None:
        """Count until told to finish; while PostgreSQL is away the last counts stand."""
        while not finish.is_set():
            try:
                await self.count()
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("free_starts_not_counted", error=type(error).__name__)
            await pause(finish, LOOK_SECONDS)

    async def count(self) -> None:
        """Count for every clinic that was booked at since and is due. Raises database errors."""
        now = asyncio.get_running_loop().time()
        due = [each for each in self._seen if now - self._counted_at.get(each, float("-inf")) >= COUNT_AGAIN_SECONDS]
        due = [each for each in due if each in self._rules]
        if not due:
            return
        async with self._pool.acquire() as conn:
            at, claims = await holds.claims_ahead(conn, due)
        for clinic_id in due:
            starts = starts_within(self._rules[clinic_id], at, self._days)
            self._free[clinic_id] = max(starts - claims.get(clinic_id, 0), 0)
            self._counted_at[clinic_id] = now
            await asyncio.sleep(0)  # the first count of a day expands it for every provider
        self._seen.difference_update(due)
