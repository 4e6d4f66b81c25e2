"""Allotting seats, against a search that tries everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.seats import Candidate, Seat, Taken, allot

DAY = datetime(2026, 11, 23, tzinfo=UTC)
Claim = tuple[str, int, datetime, datetime]
CAPACITY = {"one": 1, "two": 2, "three": 3}


def at(minute: int) -> datetime:
    return DAY + timedelta(minutes=minute)


candidates = st.builds(
    lambda provider, start, length, buffer: Candidate(
        provider, CAPACITY[provider], at(start), at(start + length), at(start + length + buffer)
    ),
    st.sampled_from(sorted(CAPACITY)),
    st.integers(0, 40),
    st.integers(1, 12),
    st.integers(0, 4),
)
wishes = st.lists(st.lists(candidates, max_size=4), max_size=30)


def overlaps(claim: Claim, provider_id: str, seat: int, start: datetime, until: datetime) -> bool:
    return claim[:2] == (provider_id, seat) and claim[2] < until and start < claim[3]


def first_free(wish: list[Candidate], claims: list[Claim]) -> Seat | None:
    """By looking at every claim."""
    for each in wish:
        for seat in range(each.capacity):
            if not any(overlaps(claim, each.provider_id, seat, each.start_at, each.busy_until) for claim in claims):
                return Seat(each, seat)
    return None


@given(wishes)
def test_each_wish_gets_its_first_free_candidate_and_no_two_meet(batch: list[list[Candidate]]) -> None:
    taken = Taken()
    claims: list[Claim] = []
    for wish in batch:
        given_seat = allot(wish, taken)
        assert given_seat == first_free(wish, claims)
        if given_seat is not None:
            each = given_seat.candidate
            assert 0 <= given_seat.seat < each.capacity
            claims.append((each.provider_id, given_seat.seat, each.start_at, each.busy_until))


@given(wishes, st.data())
def test_what_is_freed_can_be_given_again(batch: list[list[Candidate]], data: st.DataObject) -> None:
    taken = Taken()
    claims: list[Claim] = []
    for wish in batch:
        if len(claims) > 0 and data.draw(st.booleans()):
            provider_id, seat, start, _ = claims.pop(data.draw(st.integers(0, len(claims) - 1)))
            taken.free(provider_id, seat, start)
        given_seat = allot(wish, taken)
        assert given_seat == first_free(wish, claims)
        if given_seat is not None:
            each = given_seat.candidate
            claims.append((each.provider_id, given_seat.seat, each.start_at, each.busy_until))


def test_ranges_that_only_touch_do_not_overlap() -> None:
    taken = Taken()
    taken.add("one", 0, at(10), at(20))
    assert taken.is_free("one", 0, at(0), at(10))
    assert taken.is_free("one", 0, at(20), at(30))
    assert not taken.is_free("one", 0, at(0), at(11))
    assert not taken.is_free("one", 0, at(19), at(30))
    assert not taken.is_free("one", 0, at(12), at(13))
    assert not taken.is_free("one", 0, at(0), at(30))


def test_another_seat_or_provider_is_not_in_the_way() -> None:
    taken = Taken()
    taken.add("two", 0, at(10), at(20))
    assert taken.is_free("two", 1, at(10), at(20))
    assert taken.is_free("three", 0, at(10), at(20))


def test_freeing_what_is_not_there_changes_nothing() -> None:
    taken = Taken()
    taken.free("one", 0, at(10))
    taken.add("one", 0, at(10), at(20))
    taken.free("one", 0, at(11))
    assert not taken.is_free("one", 0, at(10), at(20))


def test_who_has_a_seat_that_is_there_no_more_takes_one_of_those_that_are_left() -> None:
    taken = Taken()
    taken.add("one", 3, at(10), at(20))
    fewer, later = Candidate("one", 2, at(10), at(15), at(20)), Candidate("one", 2, at(20), at(25), at(30))
    assert list(taken.free_seats(fewer)) == [0]
    assert taken.first_free(fewer) == 0
    taken.add("one", 0, at(10), at(20))
    assert list(taken.free_seats(fewer)) == []
    assert taken.first_free(fewer) is None
    assert list(taken.free_seats(later)) == [0, 1]
    taken.free("one", 3, at(10))
    assert taken.first_free(fewer) == 1
