"""The order of those who wait, what fits whom, and how long a seat is held for an answer."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.candidates import spans_of
from waiting_room.domain.directory import Hours, Provider, ServiceType
from waiting_room.domain.seats import Taken
from waiting_room.domain.waitlist import (
    BEFORE_THE_START,
    Freed,
    Offering,
    Waiter,
    answer_by,
    first_fit,
    fits,
    free_times,
)

NOW = datetime(2026, 3, 2, 7, tzinfo=UTC)  # a Monday
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
SHORT = ServiceType(service_type="shot", duration_minutes=10)
LONG = ServiceType(service_type="check", duration_minutes=30, buffer_minutes=10)
HOURS = (Hours(weekday=1, opens=time(8), closes=time(18), slot_minutes=10),)
DOCTORS = {
    name: Provider(provider_id=name, name=name, capacity=2, service_types=("shot", "check"), hours=HOURS)
    for name in ("a", "b")
}


def offering(service: ServiceType = SHORT, now: datetime = NOW) -> Offering:
    return Offering(service, DOCTORS, "UTC", spans_of(tuple(DOCTORS.values()), "UTC", now), now)


def waiter(ticket: int = 1, service: str = "shot", provider: str | None = None, minutes: int = 60) -> Waiter:
    return Waiter(f"ref {ticket}", ticket, service, provider, NINE, NINE + timedelta(minutes=minutes))


def at(minutes: int) -> datetime:
    return NINE + timedelta(minutes=minutes)


def full() -> Taken:
    taken = Taken()
    for name, doctor in DOCTORS.items():
        for seat in range(doctor.capacity):
            for slot in range(60):
                taken.add(name, seat, at(10 * slot - 60), at(10 * slot - 50))
    return taken


def test_it_is_the_earliest_that_came_free_and_fits() -> None:
    taken = full()
    for minutes in (30, 20, 70):
        taken.free("b", 1, at(minutes))
    freed = [Freed("b", at(minutes), at(minutes + 10)) for minutes in (20, 30, 70)]
    seat = first_fit(waiter(), offering(), freed, taken)
    assert seat is not None
    assert (seat.candidate.provider_id, seat.seat, seat.candidate.start_at) == ("b", 1, at(20))
    assert first_fit(waiter(2, provider="a"), offering(), freed, taken) is None, "they want somebody else"
    seat = first_fit(waiter(3), offering(), freed, taken, refused={("b", at(30))})
    assert seat is None, "one was refused, the other lies behind what is wished"
    assert first_fit(waiter(4), offering(), freed, taken) is not None


def test_what_is_free_is_what_an_appointment_fits_into() -> None:
    taken = full()
    hour = [Freed(name, NINE, at(60)) for name in DOCTORS]
    assert free_times(offering(), hour, taken) == []
    for minutes in (20, 30, 50):
        taken.free("b", 1, at(minutes))
    taken.free("a", 0, at(40))
    assert free_times(offering(), hour, taken) == [
        Freed("a", at(40), at(50)),
        Freed("b", at(20), at(40)),
        Freed("b", at(50), at(60)),
    ]
    assert free_times(offering(LONG), hour, taken) == [], "it takes 40 minutes"
    assert free_times(offering(now=at(30)), hour, taken)[1:] == [Freed("b", at(50), at(60))], "the rest has begun"
    assert free_times(offering(), [Freed("gone", NINE, at(60))], taken) == []


def test_a_longer_appointment_needs_more_than_what_came_free() -> None:
    taken = full()
    taken.free("a", 0, at(20))
    freed = [Freed("a", at(20), at(30))]
    assert first_fit(waiter(service="check"), offering(LONG), freed, taken) is None
    for minutes in (10, 30, 40):
        taken.free("a", 0, at(minutes))
    seat = first_fit(waiter(service="check"), offering(LONG), freed, taken)
    assert seat is not None
    assert (seat.candidate.start_at, seat.candidate.busy_until) == (at(10), at(50)), "it begins before and reaches in"


def test_nobody_is_offered_what_has_begun() -> None:
    freed = [Freed("a", at(0), at(10))]
    assert first_fit(waiter(), offering(now=at(0)), freed, Taken()) is None
    assert first_fit(waiter(), offering(now=at(-1)), freed, Taken()) is not None


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6), st.sampled_from([None, "a", "b"])), max_size=12),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 8)), max_size=8, unique=True),
)
def test_in_the_order_of_tickets_nobody_is_passed_over(
    wishes: list[tuple[int, int, str | None]], freed: list[tuple[str, int, int]]
) -> None:
    taken = full()
    for name, number, slot in freed:
        taken.free(name, number, at(10 * slot))
    spans = [Freed(name, at(10 * slot), at(10 * slot + 10)) for name, _, slot in sorted(freed, key=lambda f: f[2])]
    waiters = [
        Waiter(f"{number}", number, "shot", name, at(10 * first), at(10 * (first + slots)))
        for number, (first, slots, name) in enumerate(wishes)
    ]
    left = {(name, number, at(10 * slot)) for name, number, slot in freed}
    for each in waiters:
        fitting = {one for one in left if each.provider_id in (None, one[0]) and each.from_at <= one[2] < each.to_at}
        seat = first_fit(each, offering(), spans, taken)
        assert (seat is None) == (not fitting)
        if seat is not None:
            given_seat = (seat.candidate.provider_id, seat.seat, seat.candidate.start_at)
            assert given_seat in fitting
            assert seat.candidate.start_at == min(one[2] for one in fitting)
            assert fits(each, "shot", seat.candidate)
            left.remove(given_seat)


@pytest.mark.parametrize(
    ("now", "start_at", "expected"),
    [
        ("12:00", "day after", "12:30"),
        ("12:00", "14:00", "12:30"),
        ("12:00", "13:10", "12:30"),  # an hour before would be too soon: there is less left
        ("12:00", "12:40", "12:20"),
        ("03:00", "day after", "08:30"),
        ("03:00", "09:00", "08:00"),
        ("03:00", "07:30", "06:30"),
        ("07:50", "08:30", "08:10"),
    ],
)
def test_how_long_a_seat_is_held(now: str, start_at: str, expected: str) -> None:
    zone = ZoneInfo("Europe/Berlin")

    def moment(text: str) -> datetime:
        clock = time.fromisoformat("12:00" if text == "day after" else text)
        day = datetime(2026, 3, 4 if text == "day after" else 2, tzinfo=zone)
        return datetime.combine(day, clock, zone).astimezone(UTC)

    assert answer_by(moment(now), moment(start_at), 30, "Europe/Berlin") == moment(expected)


@given(
    st.integers(0, 366 * 86_400),
    st.timedeltas(timedelta(seconds=2), timedelta(days=90)),
    st.integers(1, 1_440),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
)
def test_there_is_always_time_to_answer_and_the_answer_comes_before_the_start(
    second: int, ahead: timedelta, minutes: int, zone: str
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    until, allowed = answer_by(now, now + ahead, minutes, zone), timedelta(minutes=minutes)
    assert now < until < now + ahead
    assert until >= now + min(allowed, ahead / 2)
    assert until <= max(now + ahead - BEFORE_THE_START, now + allowed)
