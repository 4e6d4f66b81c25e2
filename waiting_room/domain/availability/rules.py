"""When a provider works, as a clinic says it: one document, the same in the API, in PostgreSQL and on the topic.

Times of day are the clinic's wall clock ("08:00"; as an end also "24:00"), days are its calendar's. A one-off override
is a span of instants instead: it means what it meant when it was made, whatever the clocks do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum
from itertools import combinations
from typing import Annotated

import msgspec
from msgspec import Meta

# ``$`` also matches before a final newline in Python's regular expressions, hence the look-ahead after it.
WallTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)", description="HH:MM.")]
WallEnd = Annotated[
    str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$(?!\n)", description="HH:MM; 24:00 is the day's end.")
]
Weekday = Annotated[int, Meta(ge=1, le=7, description="ISO: 1 is Monday.")]
Minutes = Annotated[int, Meta(ge=1, le=1_440)]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339, with a zone offset.")]


class Weekly(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}):
    """Every week on this weekday, a start each ``slot_minutes`` from ``from`` on; appointments end by ``to``.

    In force from ``effective_from`` to ``effective_until``, both days included.
    """

    weekday: Weekday
    from_: WallTime
    to: WallEnd
    slot_minutes: Minutes
    effective_from: date | None = None
    effective_until: date | None = None

    def applies(self, day: date) -> bool:
        return self.weekday == day.isoweekday() and in_force(self.effective_from, self.effective_until, day)


class BreakKind(StrEnum):
    LUNCH = "lunch"
    PERSONAL = "personal"


class ClosureReason(StrEnum):
    """Why a clinic closes for a while: HL7 appointment-cancellation-reason codes, nobody's diagnosis."""

    PROVIDER = "prov"
    PERSONAL = "prov-pers"
    EDUCATION = "prov-edu"
    WEATHER = "oth-weath"
    OTHER = "other"


class Break(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}):
    """No appointment reaches into it. On one weekday, or on every day."""

    from_: WallTime
    to: WallEnd
    weekday: Weekday | None = None
    kind: BreakKind = BreakKind.LUNCH
    effective_from: date | None = None
    effective_until: date | None = None

    def applies(self, day: date) -> bool:
        on_that_day = self.weekday in (None, day.isoweekday())
        return on_that_day and in_force(self.effective_from, self.effective_until, day)


class Holidays(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Public holidays of a country (ISO 3166-1) or of one of its regions (ISO 3166-2 without the country)."""

    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)")]
    region: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,3}$(?!\n)")] | None = None


class Availability(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, cache_hash=True):
    """All of a provider's recurring rules; replaced as a whole.

    ``buffer_minutes`` keep the seat busy after each appointment, if its service asks for no longer a buffer.
    ``notice_minutes``: how long before its start an appointment can still be booked. ``max_days_ahead``: on how many
    days after today. ``holidays`` are days off, as are the business's own unless ``works_on_holidays``.
    """

    weekly: Annotated[tuple[Weekly, ...], Meta(max_length=200)]
    breaks: Annotated[tuple[Break, ...], Meta(max_length=100)] = ()
    holidays: Holidays | None = None
    works_on_holidays: bool = False
    buffer_minutes: Annotated[int, Meta(ge=0, le=1_440)] = 0
    notice_minutes: Annotated[int, Meta(ge=0, le=129_600)] = 0
    max_days_ahead: Annotated[int, Meta(ge=0, le=730)] | None = None


class OverrideKind(StrEnum):
    BLOCK = "block"
    EXTEND = "extend"


class Override(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    cache_hash=True,
    rename={"from_at": "from", "to_at": "to"},
):
    """Once: ``block`` takes time away, whatever else says it is open; ``extend`` opens time, on a day off too, with
    a start every ``slot_minutes``.
    """

    override_id: str
    kind: OverrideKind
    from_at: Instant
    to_at: Instant
    slot_minutes: Minutes | None = None


def in_force(first: date | None, last: date | None, day: date) -> bool:
    """Whether ``day`` is one from ``first`` to ``last``; None is no bound."""
    return (first is None or first <= day) and (last is None or day <= last)


def minutes_of(wall: str) -> int:
    """Minutes since midnight on the wall clock."""
    return int(wall[:2]) * 60 + int(wall[3:])


def mistakes(availability: Availability) -> Iterator[tuple[str, str]]:
    """What types cannot say: (JSON pointer, sentence) of each contradiction."""
    named: tuple[tuple[str, tuple[Weekly | Break, ...]], ...] = (
        ("weekly", availability.weekly),
        ("breaks", availability.breaks),
    )
    for name, spans in named:
        for at, span in enumerate(spans):
            if span.from_ >= span.to:
                yield f"/{name}/{at}/to", f"{span.to} is not later than {span.from_}"
            if span.effective_from and span.effective_until and span.effective_from > span.effective_until:
                yield f"/{name}/{at}/effective_until", "it ends before it begins"
    for (_, one), (at, other) in combinations(enumerate(availability.weekly), 2):
        if one.weekday == other.weekday and one.from_ < other.to and other.from_ < one.to and _meet(one, other):
            yield f"/weekly/{at}", f"it overlaps the rule from {one.from_} to {one.to} on the same weekday"


def _meet(one: Weekly, other: Weekly) -> bool:
    """Whether there is a day on which both may be in force."""
    begins = max(filter(None, (one.effective_from, other.effective_from)), default=None)
    ends = min(filter(None, (one.effective_until, other.effective_until)), default=None)
    return begins is None or ends is None or begins <= ends
