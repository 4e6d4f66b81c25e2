"""What is left of a provider's day, and which bookings a changed calendar no longer fits: against counting by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.availability.fit import Booked, Busy, Why, unfit
from waiting_room.domain.availability.rules import Availability, Weekly
from waiting_room.domain.directory import Provider
from waiting_room.domain.seats import Candidate, Taken, allot
from waiting_room.domain.slots import DayTaken, SlotStatus, out_of_stock

MONDAY = datetime(2026, 11, 30, tzinfo=UTC)
CAPACITY = 3


def at(minute: int) -> datetime:
    return MONDAY + timedelta(minutes=minute)


@dataclass(frozen=True)
class Claim:
    seat: int
    start: int
    until: int
    tentative: bool


@dataclass(frozen=True)
class Block:
    start: int
    until: int
    seats: int | None


def apart(claims: list[Claim]) -> list[Claim]:
    """Those that the database would take: no two overlap on a seat."""
    kept: list[Claim] = []
    for claim in claims:
        if not any(each.seat == claim.seat and each.start < claim.until and claim.start < each.until for each in kept):
            kept.append(claim)
    return kept


claims = st.lists(
    st.builds(
        lambda seat, start, length, tentative: Claim(seat, start, start + length, tentative),
        st.integers(0, CAPACITY - 1),
        st.integers(0, 60),
        st.integers(1, 30),
        st.booleans(),
    ),
    max_size=8,
).map(apart)
blocks = st.lists(
    st.builds(
        lambda start, length, seats: Block(start, start + length, seats),
        st.integers(0, 60),
        st.integers(1, 30),
        st.sampled_from((None, 1, 2)),
    ),
    max_size=3,
)


def left(start: int, until: int, claims: list[Claim], blocks: list[Block]) -> int:
    """Seats nobody claims meanwhile, less those that are busy; by looking at everything."""
    in_the_way = [each for each in blocks if each.start < until and start < each.until]
    if any(each.seats is None for each in in_the_way):
        return 0
    free = {0, 1, 2} - {each.seat for each in claims if each.start < until and start < each.until}
    return max(len(free) - sum(each.seats or 0 for each in in_the_way), 0)


@given(claims, blocks, st.integers(0, 60), st.integers(1, 30))
def test_a_slot_says_what_is_left_of_it(claims: list[Claim], blocks: list[Block], start: int, length: int) -> None:
    taken = DayTaken("dr")
    for claim in claims:
        taken.claim(claim.seat, at(claim.start), at(claim.until), tentative=claim.tentative)
    for block in blocks:
        taken.block(at(block.start), at(block.until), block.seats)
    candidate = Candidate("dr", CAPACITY, at(start), at(start + length), at(start + length))
    (slot,) = taken.slots([candidate])
    expected = left(start, start + length, claims, blocks)
    without_tentative = left(start, start + length, [each for each in claims if not each.tentative], blocks)
    assert slot.free_seats == expected
    assert slot.status is (
        SlotStatus.FREE if expected else SlotStatus.BUSY_TENTATIVE if without_tentative else SlotStatus.BUSY
    )


def test_without_what_the_service_consumes_nothing_is_free_and_the_rest_is_as_it_was() -> None:
    taken = DayTaken("dr")
    taken.claim(0, at(10), at(20), tentative=True)
    taken.claim(0, at(20), at(30), tentative=False)
    candidates = [Candidate("dr", 1, at(start), at(start + 10), at(start + 10)) for start in (0, 10, 20)]
    found = out_of_stock(taken.slots(candidates))
    assert [slot.status for slot in found] == [
        SlotStatus.BUSY_UNAVAILABLE,
        SlotStatus.BUSY_TENTATIVE,
        SlotStatus.BUSY,
    ]
    assert [slot.free_seats for slot in found] == [0, 0, 0]


@given(claims, blocks, st.integers(0, 60), st.integers(1, 30))
def test_hold_gives_a_seat_exactly_where_one_is_left(
    claims: list[Claim], blocks: list[Block], start: int, length: int
) -> None:
    taken = Taken()
    for claim in claims:
        taken.add("dr", claim.seat, at(claim.start), at(claim.until))
    for block in blocks:
        taken.block("dr", at(block.start), at(block.until), block.seats)
    candidate = Candidate("dr", CAPACITY, at(start), at(start + length), at(start + length))
    for given_already in range(left(start, start + length, claims, blocks)):
        assert allot([candidate], taken) is not None, given_already
    assert allot([candidate], taken) is None


def provider(capacity: int = 2) -> Provider:
    hours = Availability(weekly=(Weekly(weekday=1, from_="08:00", to="12:00", slot_minutes=30),))
    return Provider(
        provider_id="dr",
        name="Dr",
        capacity=capacity,
        service_types=("checkup",),
        hours=(),
        availability=hours,
        availability_version=1,
    )


def booked(ref: str, start: int, seat: int = 0, length: int = 30) -> Booked:
    return Booked(ref, "confirmed", "checkup", at(start), at(start + length), seat)


def busy(start: int, until: int, seats: int | None = None) -> Busy:
    return Busy(source="api", busy_id=str(start), from_at=at(start), to_at=at(until), seats=seats)


def test_what_no_longer_fits_is_told_with_its_reason() -> None:
    early, off_grid, third_seat = booked("early", 470), booked("off grid", 487), booked("third", 600, seat=2)
    found = unfit(provider(), "UTC", [early, off_grid, third_seat], [])
    assert list(found) == [(early, Why.CLOSED), (third_seat, Why.SEAT_GONE)]


def test_what_is_busy_is_in_the_way_of_as_many_as_do_not_fit_beside_it() -> None:
    one, other, alone = booked("one", 480), booked("other", 480, seat=1), booked("alone", 600)
    everything = [one, other, alone]
    assert list(unfit(provider(), "UTC", everything, [busy(480, 640, 1)])) == [(one, Why.BUSY), (other, Why.BUSY)]
    assert list(unfit(provider(), "UTC", everything, [busy(600, 610)])) == [(alone, Why.BUSY)]
    assert list(unfit(provider(), "UTC", everything, [busy(630, 640)])) == []
