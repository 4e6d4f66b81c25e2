"""Claims cut at midnight (UTC): nothing lost, nothing added, and no overlap that no day shows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waiting_room.domain.claim_days import Piece, first_of_month, pieces, utc_day

MIDNIGHT = datetime(2026, 3, 29, tzinfo=UTC)
ZONES = ("UTC", "America/Los_Angeles", "Asia/Tokyo", "Pacific/Kiritimati", "Asia/Kathmandu")

# Near midnight, on the hour and off it, up to two days long: a service of 24 hours with a buffer as long.
starts = st.builds(
    lambda minutes, microseconds, zone: (MIDNIGHT + timedelta(minutes=minutes, microseconds=microseconds)).astimezone(
        ZoneInfo(zone)
    ),
    st.integers(-3_000, 3_000),
    st.sampled_from([0, 0, 1, 999_999]),
    st.sampled_from(ZONES),
)
lengths = st.one_of(
    st.integers(1, 2 * 1_440).map(lambda minutes: timedelta(minutes=minutes)), st.just(timedelta(microseconds=1))
)


@given(starts, lengths)
@example(MIDNIGHT, timedelta(days=1))
@example(MIDNIGHT - timedelta(minutes=30), timedelta(minutes=30))
@example(MIDNIGHT - timedelta(microseconds=1), timedelta(days=1, microseconds=2))
def test_pieces_are_the_claim_one_after_the_other_each_inside_its_day(start: datetime, length: timedelta) -> None:
    cut = pieces(start, start + length)
    assert (cut[0].from_at, cut[-1].to_at) == (start, start + length)
    assert all(before.to_at == after.from_at for before, after in pairwise(cut))
    assert [each.day for each in cut] == [cut[0].day + timedelta(days=n) for n in range(len(cut))]
    for day, from_at, to_at in cut:
        begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
        assert begins <= from_at < to_at <= begins + timedelta(days=1)


@given(starts, lengths, starts, lengths)
def test_claims_overlap_if_and_only_if_pieces_of_one_day_do(
    one: datetime, length: timedelta, other: datetime, other_length: timedelta
) -> None:
    overlap = one < other + other_length and other < one + length
    of_one_day = any(
        a.day == b.day and a.from_at < b.to_at and b.from_at < a.to_at
        for a in pieces(one, one + length)
        for b in pieces(other, other + other_length)
    )
    assert overlap == of_one_day


def test_what_ends_at_midnight_is_of_one_day() -> None:
    start = MIDNIGHT - timedelta(minutes=30)
    assert pieces(start, MIDNIGHT) == [Piece(date(2026, 3, 28), start, MIDNIGHT)]


def test_a_claim_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="nothing"):
        pieces(MIDNIGHT, MIDNIGHT)


def test_a_day_is_utcs_wherever_the_clinic_is() -> None:
    assert utc_day(datetime(2026, 3, 29, 8, 30, tzinfo=ZoneInfo("Asia/Tokyo"))) == date(2026, 3, 28)


@given(st.dates(date(2026, 1, 1), date(2090, 1, 1)), st.integers(-24, 36))
def test_months_are_counted(day: date, months: int) -> None:
    first = first_of_month(day, months)
    assert first.day == 1
    assert first.year * 12 + first.month == day.year * 12 + day.month + months
