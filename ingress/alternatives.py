"""What else is free, for those who did not get what they asked for; looked up once a moment for all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zlib import crc32

from ingress.directory import Directory
from ingress.reads import Reads
from ingress.refusal import Alternative, Refused
from waiting_room.domain.appointment import Reason
from waiting_room.domain.candidates import busy_for, candidates
from waiting_room.domain.directory import Clinic, Provider, ServiceType
from waiting_room.store import holds
from waiting_room.store.bookings import BookingRow
from waiting_room.store.holds import Window

OFFERED: Final = 3
LOST_TO_OTHERS: Final = frozenset({Reason.SLOT_TAKEN, Reason.NO_FREE_SLOT})
_NEAREST: Final = 24
_SEARCHED: Final = timedelta(days=7)
_FRESH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Found:
    until: float
    free: asyncio.Task[list[Alternative]]


class Alternatives:
    """Free times near a lost one. Losers of one race are offered different ones, so that they do not race again."""

    def __init__(self, reads: Reads, directory: Directory) -> None:
        self._reads = reads
        self._directory = directory
        self._found: dict[tuple[str, str, datetime | None], _Found] = {}

    async def near(self, row: BookingRow) -> tuple[Alternative, ...]:
        """At most OFFERED for a booking rejected because others were first; none where nobody can tell."""
        site = self._directory.clinic(row.clinic_id)
        if row.reason not in LOST_TO_OTHERS or row.service_type is None or site is None:
            return ()
        service = next((each for each in site.clinic.service_types if each.service_type == row.service_type), None)
        if service is None:
            return ()
        try:
            free = await self._free(site.clinic, service, row.start_at)
        except Refused:
            return ()
        if not free:
            return ()
        first = crc32(row.booking_ref.encode()) % len(free)
        picked = [free[(first + step) % len(free)] for step in range(min(OFFERED, len(free)))]
        return tuple(sorted(picked, key=lambda each: (each.start_at, each.provider_id)))

    async def _free(self, clinic: Clinic, service: ServiceType, wanted_at: datetime | None) -> list[Alternative]:
        now = asyncio.get_running_loop().time()
        key = (clinic.clinic_id, service.service_type, wanted_at)
        found = self._found.get(key)
        if found is None or found.until < now:
            self._found = {key: each for key, each in self._found.items() if each.until >= now}
            task = asyncio.create_task(self._look(clinic, service, wanted_at), name="alternatives")
            found = self._found[key] = _Found(now + _FRESH_SECONDS, task)
        return await asyncio.shield(found.free)

    async def _look(self, clinic: Clinic, service: ServiceType, wanted_at: datetime | None) -> list[Alternative]:
        now = datetime.now(UTC)
        from_at = max(now, wanted_at - _SEARCHED / 2) if wanted_at else now
        until = from_at + _SEARCHED
        providers: tuple[Provider, ...] = tuple(
            each for each in clinic.providers if service.service_type in each.service_types
        )
        windows = [Window(clinic.clinic_id, each.provider_id, from_at, until + busy_for(service)) for each in providers]
        taken = await self._reads.run(lambda connection: holds.taken(connection, windows))
        near = wanted_at or from_at
        free = [
            Alternative(each.provider_id, each.start_at)
            for each in candidates(providers, service, clinic.timezone, from_at, until)
            if any(
                taken.is_free(each.provider_id, seat, each.start_at, each.busy_until) for seat in range(each.capacity)
            )
        ]
        return sorted(free, key=lambda each: abs(each.start_at - near))[:_NEAREST]
