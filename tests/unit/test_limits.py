"""What a patient may book at once, and how soon after another appointment."""

from __future__ import annotations

from datetime import date, timedelta

from waiting_room.domain.appointment import Reason
from waiting_room.domain.directory import ServiceType
from waiting_room.domain.limits import PatientClaim, days_apart, earliest_day, free_place, lasts, latest_day, refusal

DAY = date(2026, 11, 27)
PLAIN = ServiceType(service_type="plain", duration_minutes=15)
FIRST = ServiceType(service_type="first", duration_minutes=15, one_active=True)
SECOND = ServiceType(service_type="second", duration_minutes=15, interval_days=21, interval_after="first")
BOOSTER = ServiceType(service_type="booster", duration_minutes=15, interval_days=90)


def claim(
    service: ServiceType, place: int | None = None, day: date = DAY, business_id: str = "b", active: bool = True
) -> PatientClaim:
    return PatientClaim(business_id, service.service_type, day, place, service.one_active and active)


def test_the_lowest_free_place_is_given_and_none_beyond_the_last() -> None:
    assert free_place([], 2) == 0
    assert free_place([claim(PLAIN, 1), claim(PLAIN, None)], 2) == 0
    assert free_place([claim(PLAIN, 0), claim(PLAIN, 1)], 2) is None


def test_so_many_pending_bookings_and_no_more() -> None:
    waiting = [claim(PLAIN, place) for place in range(3)]
    assert refusal(PLAIN, "b", waiting, 3) is Reason.TOO_MANY_PENDING
    assert refusal(PLAIN, "b", waiting, 4) is None


def test_one_active_booking_of_a_service_and_business() -> None:
    assert refusal(FIRST, "b", [claim(FIRST)], 5) is Reason.ALREADY_BOOKED
    assert refusal(FIRST, "b", [claim(FIRST, active=False)], 5) is None
    assert refusal(FIRST, "b", [claim(FIRST, business_id="other")], 5) is None
    assert refusal(PLAIN, "b", [claim(PLAIN)], 5) is None


def test_an_interval_counts_from_the_last() -> None:
    earlier = date(2026, 11, 1)
    assert earliest_day(SECOND, "b", []) is None
    assert earliest_day(SECOND, "b", [claim(FIRST, day=earlier), claim(FIRST)]) == date(2026, 12, 18)
    assert earliest_day(SECOND, "b", [claim(SECOND)]) is None
    assert earliest_day(BOOSTER, "b", [claim(BOOSTER)]) == date(2027, 2, 25)
    assert earliest_day(PLAIN, "b", [claim(PLAIN)]) is None


def test_what_follows_is_left_its_interval() -> None:
    services = [PLAIN, FIRST, SECOND, BOOSTER]
    second = claim(SECOND, day=date(2027, 1, 1))

    def latest(service: ServiceType, *claims: PatientClaim, day: date = DAY) -> date | None:
        return latest_day(service, services, "b", claims, day)

    assert latest(FIRST, second, claim(SECOND, day=date(2027, 2, 1))) == date(2026, 12, 11)
    assert latest(FIRST, second, day=date(2027, 1, 1)) == date(2026, 12, 11), "there is none left"
    assert latest(FIRST, second, day=date(2027, 1, 2)) is None, "it followed an earlier one"
    assert latest(FIRST, claim(SECOND, business_id="other")) is None
    assert latest(SECOND, claim(FIRST), claim(BOOSTER)) is None


def test_who_is_moved_keeps_a_distance_to_what_came_before_and_what_comes_after() -> None:
    services = [PLAIN, FIRST, SECOND, BOOSTER]

    def on(number: int) -> date:
        return DAY + timedelta(days=number)

    def left(service: ServiceType, *claims: PatientClaim, was: int = 0) -> list[tuple[int, int]]:
        """Of the sixty days from DAY on."""
        spans = days_apart(service, services, "b", claims, on(was), (on(0), on(60)))
        return [((begins - DAY).days, (ends - DAY).days) for begins, ends in spans]

    assert left(PLAIN, claim(PLAIN), claim(FIRST)) == [(0, 60)]
    assert left(FIRST, claim(SECOND, day=on(28))) == [(0, 7)]
    assert left(FIRST, claim(SECOND, day=on(28), business_id="other")) == [(0, 60)]
    assert left(FIRST, claim(SECOND, day=on(10))) == [], "it is too close already"
    assert left(FIRST, claim(SECOND, day=on(10)), was=11) == [(0, 60)], "that one followed another"
    assert left(SECOND, claim(FIRST, day=on(-14)), was=7) == [(7, 60)]
    assert left(SECOND, claim(FIRST, day=on(8)), was=7) == [(29, 60)], "an interval counts from the last"
    booster = ServiceType(service_type="booster", duration_minutes=15, interval_days=7)
    assert left(booster, claim(booster, day=on(20)), claim(booster, day=on(50))) == [(0, 13), (27, 43), (57, 60)]
    assert left(booster, claim(booster, day=on(-6)), claim(booster, day=on(66))) == [(1, 59)]


def test_what_says_something_about_later_bookings_lasts() -> None:
    services = [PLAIN, FIRST, SECOND, BOOSTER]
    assert [each.service_type for each in services if lasts(each, services)] == ["first", "second", "booster"]
