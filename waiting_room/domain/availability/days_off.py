"""Public holidays by country and region, from the ``holidays`` package: data that others keep right."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import holidays

from waiting_room.domain.availability.rules import Availability, Holidays


def is_off(availability: Availability, business_days_off: tuple[date, ...], day: date) -> bool:
    """Whether the provider does not work that day, whatever the weekly rules say."""
    if availability.works_on_holidays:
        return False
    return day in business_days_off or (availability.holidays is not None and _is_holiday(availability.holidays, day))


def is_known(wanted: Holidays) -> bool:
    """Whether the package knows the country and its region."""
    regions = _regions().get(wanted.country)
    return regions is not None and (wanted.region is None or wanted.region in regions)


def _is_holiday(wanted: Holidays, day: date) -> bool:
    return day in _of_year(wanted.country, wanted.region, day.year)


@lru_cache(maxsize=4_096)
def _of_year(country: str, region: str | None, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, subdiv=region, years=year))


@lru_cache(maxsize=1)
def _regions() -> dict[str, frozenset[str]]:
    return {country: frozenset(regions) for country, regions in holidays.list_supported_countries().items()}
