"""Which seats a booking could take by the rules alone: every fitting start of the given providers, earliest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache

from waiting_room.domain.directory import Provider, ServiceType
from waiting_room.domain.schedule import clinic_days, day_starts
from waiting_room.domain.seats import Candidate


def candidates(
    providers: tuple[Provider, ...], service: ServiceType, timezone: str, from_at: datetime, to_at: datetime
) -> Iterator[Candidate]:
    """Candidates that start in [from_at, to_at), by start and provider; lazily, the first is usually free."""
    day, last = clinic_days(timezone, from_at, to_at)
    while day <= last:
        for candidate in _of_day(providers, service, timezone, day):
            if from_at <= candidate.start_at < to_at:
                yield candidate
        day += timedelta(days=1)


def busy_for(service: ServiceType) -> timedelta:
    """How long an appointment keeps its seat: duration and buffer."""
    return timedelta(minutes=service.duration_minutes + service.buffer_minutes)


@lru_cache(maxsize=16_384)
def _of_day(providers: tuple[Provider, ...], service: ServiceType, timezone: str, day: date) -> tuple[Candidate, ...]:
    """The same few days are asked for again and again."""
    duration, busy = timedelta(minutes=service.duration_minutes), busy_for(service)
    found = (
        Candidate(provider.provider_id, provider.capacity, start, start + duration, start + busy)
        for provider in providers
        for start in day_starts(provider.hours, service.duration_minutes, timezone, day)
    )
    return tuple(sorted(found, key=lambda candidate: (candidate.start_at, candidate.provider_id)))
