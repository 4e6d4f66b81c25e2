"""Clinics, providers and services as the compacted topic ``clinic.directory`` tells them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import structlog

from waiting_room.domain.directory import Clinic, ClinicStatus, Provider, ServiceType
from waiting_room.messages import DirectoryEntry, Reader, Unreadable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """A clinic with its services, its providers and who offers what, by id."""

    clinic: Clinic
    services: dict[str, ServiceType]
    providers: dict[str, Provider]
    offering: dict[str, tuple[Provider, ...]]

    @property
    def open(self) -> bool:
        return self.clinic.status is ClinicStatus.OPEN

    def cancel_notice(self, service_type: str | None) -> timedelta:
        """How long before its start a patient may still cancel an appointment of this service."""
        service = self.services.get(service_type or "")
        own = service.cancel_notice_minutes if service else None
        return timedelta(minutes=self.clinic.cancel_notice_minutes if own is None else own)


class Directory:
    """Every clinic there is. Reads are dictionary look-ups: the hot path makes several a request."""

    def __init__(self) -> None:
        self._sites: dict[str, Site] = {}
        self._site_of_provider: dict[str, Site] = {}
        self._read: Reader[DirectoryEntry] = Reader(DirectoryEntry)

    def apply(self, clinic_id: str, value: bytes | None) -> None:
        """Take a record of the topic. Of a clinic whose record cannot be read the last good one stays."""
        try:
            entry = None if value is None else self._read(value)
        except Unreadable as error:
            log.error("directory_entry_unreadable", clinic_id=clinic_id, error=str(error))
            return
        before = self._sites.pop(clinic_id, None)
        for provider_id in before.providers if before else ():
            if self._site_of_provider.get(provider_id) is before:
                del self._site_of_provider[provider_id]
        if entry is not None:
            site = site_of(entry.clinic)
            self._sites[clinic_id] = site
            self._site_of_provider.update(dict.fromkeys(site.providers, site))

    def clinic(self, clinic_id: str) -> Site | None:
        return self._sites.get(clinic_id)

    def of_provider(self, provider_id: str) -> Site | None:
        """The site at which this provider works."""
        return self._site_of_provider.get(provider_id)

    def all(self) -> list[Site]:
        """Every site, by clinic_id."""
        return [self._sites[clinic_id] for clinic_id in sorted(self._sites)]

    def of_business(self, business_id: str) -> list[Site]:
        """Its sites, by clinic_id; none if there is no such business."""
        sites = (site for site in self._sites.values() if site.clinic.business_id == business_id)
        return sorted(sites, key=lambda site: site.clinic.clinic_id)

    def others(self, site: Site, service_type: str) -> Iterator[Site]:
        """Open clinics of the same business that offer this service, without ``site``."""
        for other in self._sites.values():
            same_business = other.clinic.business_id == site.clinic.business_id
            if same_business and other is not site and other.open and service_type in other.offering:
                yield other


def site_of(clinic: Clinic) -> Site:
    offering: dict[str, list[Provider]] = {}
    for provider in clinic.providers:
        for service_type in provider.service_types:
            offering.setdefault(service_type, []).append(provider)
    return Site(
        clinic=clinic,
        services={service.service_type: service for service in clinic.service_types},
        providers={provider.provider_id: provider for provider in clinic.providers},
        offering={service_type: tuple(providers) for service_type, providers in offering.items()},
    )
