"""When a patient is reminded of an appointment: pure.

A lead is written ``30m``, ``24h`` or ``1d``. Minutes and hours are time that passes: 24 hours before are 24 hours
before, whatever clocks are set to meanwhile. Days are counted on the clinic's wall clock: a day before nine in the
morning is nine in the morning, also where that night has 23 or 25 hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_LEAD = re.compile(r"([1-9][0-9]{0,3})([mhd])", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
LONGEST: Final = timedelta(days=30)


class Lead(NamedTuple):
    """How long before the start."""

    amount: int
    unit: str

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"

    @property
    def length(self) -> timedelta:
        """A day as 24 hours."""
        return timedelta(**{_UNITS[self.unit]: self.amount})


def lead_of(text: str) -> Lead:
    """Raises ValueError."""
    match = _LEAD.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no lead time: a number and m, h or d, as in 24h")
    lead = Lead(int(match[1]), match[2])
    if lead.length > LONGEST:
        raise ValueError(f"{text!r} is longer than {LONGEST.days} days")
    return lead


def leads_of(texts: Iterable[str]) -> tuple[Lead, ...]:
    """Each once, the longest first. Raises ValueError."""
    return tuple(sorted(dict.fromkeys(lead_of(text) for text in texts), key=lambda lead: lead.length, reverse=True))


def remind_at(lead: Lead, start_at: datetime, zone: ZoneInfo) -> datetime:
    """When an appointment that starts then is reminded of, in UTC.

    A wall-clock time that does not exist that day moves on by what was left out; of one that comes twice it is the
    first.
    """
    if lead.unit != "d":
        return start_at - lead.length
    wall = start_at.astimezone(zone).replace(tzinfo=None) - lead.length
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
