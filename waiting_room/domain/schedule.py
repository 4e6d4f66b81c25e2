"""Which times a provider offers, by its rules or its plain weekly hours: starts in UTC (``availability/expand.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from waiting_room.domain.availability import expand
from waiting_room.domain.availability.expand import Calendar
from waiting_room.domain.availability.rules import Availability, Override, Weekly
from waiting_room.domain.directory import Hours, Provider, ServiceType


def slot_starts(
    provider: Provider, service: ServiceType, timezone: str, from_at: datetime, to_at: datetime
) -> Iterator[datetime]:
    """Starts in [from_at, to_at), ascending, at which ``service`` fits into the provider's open time (UTC)."""
    calendar = calendar_of(provider)
    day, last = clinic_days(timezone, from_at, to_at)
    while day <= last:
        for start in expand.day_starts(calendar, service.duration_minutes, timezone, day):
            if from_at <= start < to_at:
                yield start
        day += timedelta(days=1)


def clinic_days(timezone: str, from_at: datetime, to_at: datetime) -> tuple[date, date]:
    """The first and last day, by the clinic's calendar, on which a time of [from_at, to_at] falls."""
    zone = ZoneInfo(timezone)
    return from_at.astimezone(zone).date(), to_at.astimezone(zone).date()


def offers(provider: Provider, service: ServiceType, timezone: str, start_at: datetime) -> bool:
    """Whether ``start_at`` is one of the provider's starts for this service."""
    day = start_at.astimezone(ZoneInfo(timezone)).date()
    return start_at in provider_day_starts(provider, service.duration_minutes, timezone, day)


def provider_day_starts(provider: Provider, duration_minutes: int, timezone: str, day: date) -> tuple[datetime, ...]:
    """One day's starts (UTC, ascending) by the clinic's calendar."""
    return expand.day_starts(calendar_of(provider), duration_minutes, timezone, day)


def day_starts(hours: tuple[Hours, ...], duration_minutes: int, timezone: str, day: date) -> tuple[datetime, ...]:
    """The same by plain weekly hours."""
    return expand.day_starts(_plain(hours), duration_minutes, timezone, day)


def bookable_span(provider: Provider, timezone: str, now: datetime) -> tuple[datetime, datetime | None]:
    """Half-open span of the starts that the provider lets be booked now (None: no bound)."""
    availability = provider.availability
    return (now, None) if availability is None else expand.bookable_span(availability, timezone, now)


def busy_for(provider: Provider, service: ServiceType) -> timedelta:
    """How long an appointment keeps its seat: duration, and the longer buffer of service and provider."""
    buffer_minutes = service.buffer_minutes
    if provider.availability is not None:
        buffer_minutes = max(buffer_minutes, provider.availability.buffer_minutes)
    return timedelta(minutes=service.duration_minutes + buffer_minutes)


def calendar_of(provider: Provider) -> Calendar:
    """When the provider is open: by its rules, or by its plain hours where it has none."""
    if provider.availability is None and not provider.overrides and not provider.days_off:
        return _plain(provider.hours)
    return _ruled(availability_of(provider), provider.overrides, provider.days_off)


def availability_of(provider: Provider) -> Availability:
    """Its rules; plain hours are rules too."""
    return provider.availability or _as_rules(provider.hours)


@lru_cache(maxsize=65_536)
def _ruled(availability: Availability, overrides: tuple[Override, ...], days_off: tuple[date, ...]) -> Calendar:
    """Made once: what is looked up by a calendar is found sooner by the very same one."""
    return Calendar(availability, overrides, days_off)


@lru_cache(maxsize=4_096)
def _plain(hours: tuple[Hours, ...]) -> Calendar:
    return Calendar(_as_rules(hours))


@lru_cache(maxsize=4_096)
def _as_rules(hours: tuple[Hours, ...]) -> Availability:
    return Availability(
        weekly=tuple(
            Weekly(
                weekday=window.weekday,
                from_=f"{window.opens:%H:%M}",
                to=f"{window.closes:%H:%M}",
                slot_minutes=window.slot_minutes,
            )
            for window in hours
        )
    )
