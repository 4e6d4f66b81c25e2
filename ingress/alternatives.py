"""What else is free, for those who did not get what they asked for; looked up once a moment for all of them.

At the same clinic first; at others of its business where that one is away or has nothing left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from heapq import nsmallest
from typing import Final, Protocol
from zlib import crc32
from zoneinfo import ZoneInfo

from ingress.directory import Directory, Site
from ingress.in_stock import InStock
from ingress.line import Lines
from ingress.reads import Reads
from ingress.refusal import Alternative, Refused
from waiting_room.domain.appointment import Reason
from waiting_room.domain.candidates import OTHER_CLINICS, SAME_CLINIC, candidates, spans_of
from waiting_room.domain.directory import ServiceType
from waiting_room.domain.schedule import busy_for
from waiting_room.domain.seats import Candidate, Taken
from waiting_room.store import holds
from waiting_room.store.holds import Window
from waiting_room.store.pool import Connection

OFFERED: Final = 3
_CLINICS: Final = 3
_NEAREST: Final = 24
_SEARCHED: Final = timedelta(days=7)
_FRESH_SECONDS: Final = 1.0


class Lost(Protocol):
    """What was wanted and is not to be had, and why."""

    @property
    def clinic_id(self) -> str: ...
    @property
    def booking_ref(self) -> str: ...
    @property
    def service_type(self) -> str | None: ...
    @property
    def start_at(self) -> datetime | None: ...
    @property
    def reason(self) -> Reason | None: ...


@dataclass(frozen=True, slots=True)
class _Found:
    until: float
    free: asyncio.Task[list[Alternative]]


class Alternatives:
    """Free times near a lost one. Losers of one race are offered different ones, so that they do not race again."""

    def __init__(self, reads: Reads, directory: Directory, lines: Lines) -> None:
        self._reads = reads
        self._directory = directory
        self._lines = lines
        self._found: dict[tuple[tuple[str, ...], str, datetime | None], _Found] = {}

    async def near(self, row: Lost) -> tuple[Alternative, ...]:
        """At most OFFERED for a booking that was rejected and may be had otherwise; none where nobody can tell."""
        site = self._directory.clinic(row.clinic_id)
        if row.reason not in OTHER_CLINICS or row.service_type is None or site is None:
            return ()
        free: list[Alternative] = []
        try:
            if row.reason in SAME_CLINIC:
                free = await self._free((site,), row.service_type, row.start_at)
            if not free:
                free = await self._free(self._others(site, row.service_type), row.service_type, row.start_at)
        except Refused:
            return ()
        if not free:
            return ()
        first = crc32(row.booking_ref.encode()) % len(free)
        picked = [free[(first + step) % len(free)] for step in range(min(OFFERED, len(free)))]
        return tuple(sorted(picked, key=lambda each: (each.start_at, each.provider_id)))

    def _others(self, site: Site, service_type: str) -> tuple[Site, ...]:
        """A few clinics of the same business that are not away, those with the shortest lines."""
        found = [each for each in self._directory.others(site, service_type) if not self._lines.is_down(each.clinic)]
        return tuple(nsmallest(_CLINICS, found, key=lambda each: self._lines.next_place(each.clinic)))

    async def _free(self, sites: tuple[Site, ...], service_type: str, wanted_at: datetime | None) -> list[Alternative]:
        if not any(service_type in site.services for site in sites):
            return []
        now = asyncio.get_running_loop().time()
        key = (tuple(site.clinic.clinic_id for site in sites), service_type, wanted_at)
        found = self._found.get(key)
        if found is None or found.until < now:
            self._found = {key: each for key, each in self._found.items() if each.until >= now}
            task = asyncio.create_task(self._look(sites, service_type, wanted_at), name="alternatives")
            found = self._found[key] = _Found(now + _FRESH_SECONDS, task)
        return await asyncio.shield(found.free)

    async def _look(self, sites: tuple[Site, ...], service_type: str, wanted_at: datetime | None) -> list[Alternative]:
        now = datetime.now(UTC)
        from_at = max(now, wanted_at - _SEARCHED / 2) if wanted_at else now
        until = from_at + _SEARCHED
        near = wanted_at or from_at
        windows = [
            Window(
                site.clinic.clinic_id, each.provider_id, from_at, until + busy_for(each, site.services[service_type])
            )
            for site in sites
            for each in site.offering.get(service_type, ())
        ]
        offers = [(site, service) for site in sites if (service := site.services.get(service_type)) is not None]

        async def read(connection: Connection) -> tuple[Taken, InStock]:
            wanted = [(site.clinic.clinic_id, service) for site, service in offers]
            return await holds.taken(connection, windows), await InStock.read(connection, wanted)

        taken, stock = await self._reads.run(read)
        free = [
            Alternative(site.clinic.clinic_id, each.provider_id, each.start_at)
            for site, service in offers
            for each in _possible(site, service, from_at, until, now)
            if next(taken.free_seats(each), None) is not None
            and stock.has(site.clinic.clinic_id, service, _day(each.start_at, site))
        ]
        return sorted(free, key=lambda each: abs(each.start_at - near))[:_NEAREST]


def _day(start_at: datetime, site: Site) -> date:
    return start_at.astimezone(ZoneInfo(site.clinic.timezone)).date()


def _possible(
    site: Site, service: ServiceType, from_at: datetime, until: datetime, now: datetime
) -> Iterator[Candidate]:
    providers, timezone = site.offering.get(service.service_type, ()), site.clinic.timezone
    return candidates(providers, service, timezone, from_at, until, spans_of(providers, timezone, now))
