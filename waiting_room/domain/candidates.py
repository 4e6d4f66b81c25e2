"""Which seats a booking could take by the rules alone: every fitting start of the given providers, earliest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

from waiting_room.domain.appointment import Reason
from waiting_room.domain.directory import Provider, ServiceType
from waiting_room.domain.schedule import bookable_span, busy_for, clinic_days, provider_day_starts
from waiting_room.domain.seats import Candidate

SAME_CLINIC: Final = frozenset({Reason.SLOT_TAKEN, Reason.NO_FREE_SLOT, Reason.CLINIC_REFUSED, Reason.PROVIDER})
"""Who was rejected for one of these may still book where they wanted to."""
OTHER_CLINICS: Final = SAME_CLINIC | {Reason.CLINIC_UNAVAILABLE, Reason.CLINIC_CLOSED}
"""Or, where that clinic has nothing left or is away, at another of its business."""

Spans = Mapping[str, tuple[datetime, datetime | None]]
"""By provider_id, for those that bound it: half-open span of the starts that may be booked now."""


def candidates(
    providers: tuple[Provider, ...],
    service: ServiceType,
    timezone: str,
    from_at: datetime,
    to_at: datetime,
    spans: Spans | None = None,
) -> Iterator[Candidate]:
    """Candidates that start in [from_at, to_at), by start and provider; lazily, the first is usually free."""
    day, last = clinic_days(timezone, from_at, to_at)
    while day <= last:
        for candidate in day_candidates(providers, service, timezone, day):
            if from_at <= candidate.start_at < to_at and (not spans or _allowed(candidate, spans)):
                yield candidate
        day += timedelta(days=1)


def spans_of(providers: tuple[Provider, ...], timezone: str, now: datetime) -> Spans:
    """Of the providers whose rules bound how soon or how far ahead they are booked."""
    return {
        each.provider_id: bookable_span(each, timezone, now)
        for each in providers
        if each.availability is not None
        and (each.availability.notice_minutes or each.availability.max_days_ahead is not None)
    }


def why_not_now(providers: Iterable[Provider], spans: Spans, start_at: datetime) -> Reason | None:
    """Why none of these, who all offer this start, lets it be booked now; None if one does."""
    bounds = [spans.get(each.provider_id) for each in providers]
    soonest = []
    for bound in bounds:
        if bound is None or within(start_at, bound):
            return None
        soonest.append(bound[0])
    return Reason.TOO_SHORT_NOTICE if start_at < min(soonest) else Reason.TOO_FAR_AHEAD


def within(start_at: datetime, span: tuple[datetime, datetime | None]) -> bool:
    """Half-open; None is no bound."""
    return span[0] <= start_at and (span[1] is None or start_at < span[1])


def _allowed(candidate: Candidate, spans: Spans) -> bool:
    span = spans.get(candidate.provider_id)
    return span is None or within(candidate.start_at, span)


@lru_cache(maxsize=16_384)
def day_candidates(
    providers: tuple[Provider, ...], service: ServiceType, timezone: str, day: date
) -> tuple[Candidate, ...]:
    """One day's, by the clinic's calendar. The same few days are asked for again and again."""
    duration = timedelta(minutes=service.duration_minutes)
    found = [
        Candidate(provider.provider_id, provider.capacity, start, start + duration, start + busy)
        for provider in providers
        for busy in (busy_for(provider, service),)
        for start in provider_day_starts(provider, service.duration_minutes, timezone, day)
    ]
    if len(providers) > 1:  # else they are in order
        found.sort(key=lambda candidate: (candidate.start_at, candidate.provider_id))
    return tuple(found)
