"""How months of seat claims stand, as sweep tells it."""

from __future__ import annotations

from datetime import date

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from waiting_room.domain.claim_days import first_of_month
from waiting_room.settings import Settings
from waiting_room.storage import BEYOND_DAYS, Limits, Standing, standing
from waiting_room.store.storage import Range
from workers.sweep.months import MonthWatch

LIMITS = Limits(book_ahead=90, keep=35, drop=400)
TODAY = date(2026, 11, 26)


def months(first: int, last: int, *, going: int | None = None) -> list[Range]:
    """From so many months ago (negative) to so many ahead; which of them is being detached."""
    return [
        Range(str(n), first_of_month(TODAY, n), first_of_month(TODAY, n + 1), n == going)
        for n in range(first, last + 1)
    ]


@pytest.mark.parametrize(
    ("ranges", "stands"),
    [
        (months(-1, 6), Standing(spare=(date(2027, 6, 1) - TODAY).days - 90, overdue=0)),
        (months(0, 2), Standing(spare=(date(2027, 2, 1) - TODAY).days - 90, overdue=0)),
        # September ended 56 days ago and may stay for 35.
        (months(-2, 6), Standing(spare=(date(2027, 6, 1) - TODAY).days - 90, overdue=21)),
        # What is being detached takes no claims any more, and is not gone yet.
        (months(-2, 6, going=-2), Standing(spare=(date(2027, 6, 1) - TODAY).days - 90, overdue=21)),
        (months(0, 6, going=6), Standing(spare=(date(2027, 5, 1) - TODAY).days - 90, overdue=0)),
        ([], Standing(spare=-90, overdue=0)),
    ],
)
def test_days_to_spare_and_days_overdue(ranges: list[Range], stands: Standing) -> None:
    assert standing(ranges, TODAY, LIMITS) == stands


def test_there_are_always_as_many_to_spare_as_are_made() -> None:
    for days in range(400):
        today = date.fromordinal(TODAY.toordinal() + days)
        last = first_of_month(date.fromordinal(today.toordinal() + LIMITS.book_ahead + BEYOND_DAYS), 1)
        assert standing([Range("", TODAY, last, False)], today, LIMITS._replace(keep=10_000)).spare > BEYOND_DAYS


def test_sweep_tells_it() -> None:
    MonthWatch(Settings(), None).say(Standing(93, 2))  # type: ignore[arg-type]
    assert REGISTRY.get_sample_value("waiting_room_claim_days_spare") == 93
    assert REGISTRY.get_sample_value("waiting_room_claim_days_overdue") == 2


def test_nothing_is_dropped_before_it_is_put_away() -> None:
    with pytest.raises(ValidationError, match="claims_drop_days must not be less"):
        Settings(claims_keep_days=30, claims_drop_days=29)
