"""Clinics, providers and service types, as every part of the system knows them.

The system of record is PostgreSQL; ``clinic.directory`` carries the same to every process that has no database.
"""

from __future__ import annotations

from datetime import date, time
from enum import StrEnum
from typing import Final

import msgspec

from waiting_room.domain.availability.rules import Availability, Override

GENERAL_POOL: Final = "general"


class Consumes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, cache_hash=True):
    """What one appointment takes of one product; ``pool`` is the part of the stock that is kept for it."""

    product: str
    doses: int = 1
    pool: str = GENERAL_POOL


class Eligibility(StrEnum):
    """Whether a patient's right to a service is found out before its clinic is asked, and what happens while nobody can
    say: the booking goes on all the same, or waits.
    """

    NONE = "none"
    FAIL_OPEN = "fail_open"
    FAIL_CLOSED = "fail_closed"


class ServiceType(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What is booked. ``buffer_minutes`` follows the appointment and keeps the seat busy; ``description`` is what a
    patient reads of it, without a price.
    """

    service_type: str
    duration_minutes: int
    buffer_minutes: int = 0
    description: str = ""
    consumes: tuple[Consumes, ...] = ()
    cancel_notice_minutes: int | None = None
    """How long before its start a patient may still cancel it; None is as the business has it."""
    one_active: bool = False
    """A patient may have one booking of it that is neither over nor off."""
    interval_days: int | None = None
    interval_after: str | None = None
    """So many days after the patient's last appointment for this service type; None is the service itself."""
    offer_minutes: int = 30
    """How long who waits for it may think about a seat that is offered."""
    offer_to_all: bool = False
    """A seat that comes free is told to all whom it fits, the first to accept has it; else they are asked in turn."""
    eligibility: Eligibility = Eligibility.NONE


class Hours(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """One weekly window (ISO weekday: 1 Monday to 7 Sunday; wall-clock times of the clinic's zone).

    Appointments start every ``slot_minutes`` from ``opens`` on and end by ``closes``.
    """

    weekday: int
    opens: time
    closes: time
    slot_minutes: int


class Provider(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """A calendar at a clinic; ``capacity`` seats side by side.

    ``hours`` count until its clinic has put an ``availability`` in their place, whose ``availability_version`` grows
    with each that follows. ``overrides`` are those not over yet; ``days_off`` are its business's.
    """

    provider_id: str
    name: str
    capacity: int
    service_types: tuple[str, ...]
    hours: tuple[Hours, ...]
    availability: Availability | None = None
    availability_version: int = 0
    overrides: tuple[Override, ...] = ()
    days_off: tuple[date, ...] = ()


class ClinicStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class AdapterKind(StrEnum):
    """How a clinic's calendar is reached. ``builtin``: the platform keeps it and hold decides."""

    BUILTIN = "builtin"
    REST = "rest"


class Clinic(msgspec.Struct, frozen=True, kw_only=True):
    """A site with its own system. ``partition`` is explicit and ``map_version`` grows when it changes; ``moved_from``
    is the partition before that, where commands may still wait to be held.
    """

    clinic_id: str
    business_id: str
    name: str
    adapter: AdapterKind
    status: ClinicStatus
    timezone: str
    partition: int
    map_version: int
    wait_ceiling_seconds: int
    service_types: tuple[ServiceType, ...]
    providers: tuple[Provider, ...]
    moved_from: int | None = None
    cancel_notice_minutes: int = 1_440
    """How long before its start a patient may still cancel, where the service type says nothing else."""
