"""What a clinic can say of a provider's time, and what each word of it does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from waiting_room.domain.availability.days_off import is_known
from waiting_room.domain.availability.expand import Calendar, bookable_span, day_starts, is_open
from waiting_room.domain.availability.rules import Availability, Break, Holidays, Override, Weekly, mistakes

BERLIN = "Europe/Berlin"
MONDAY = date(2026, 11, 30)
MORNING = {"weekday": 1, "from": "08:00", "to": "12:00", "slot_minutes": 30}


def rules(*weekly: dict[str, Any], **more: Any) -> Availability:
    return msgspec.convert({"weekly": weekly or (MORNING,), **more}, Availability)


def walls(calendar: Calendar | Availability, day: date = MONDAY, minutes: int = 30) -> list[str]:
    calendar = calendar if isinstance(calendar, Calendar) else Calendar(calendar)
    starts = day_starts(calendar, minutes, BERLIN, day)
    return [f"{start.astimezone(ZoneInfo(BERLIN)):%H:%M}" for start in starts]


def at(wall: str, day: date = MONDAY) -> datetime:
    return datetime.fromisoformat(f"{day} {wall}").replace(tzinfo=ZoneInfo(BERLIN)).astimezone(UTC)


def test_a_weekly_rule_gives_a_start_each_slot_and_the_last_one_ends_in_time() -> None:
    assert walls(rules()) == ["08:00", "08:30", "09:00", "09:30", "10:00", "10:30", "11:00", "11:30"]
    assert walls(rules(), minutes=60)[-1] == "11:00"
    assert walls(rules(), MONDAY + timedelta(days=1)) == []
    assert walls(rules({**MORNING, "from": "23:00", "to": "24:00"})) == ["23:00", "23:30"]


def test_a_rule_is_in_force_from_its_first_day_to_its_last() -> None:
    bounded = rules({**MORNING, "effective_from": "2026-11-30", "effective_until": "2026-12-07"})
    weeks = [MONDAY + timedelta(weeks=week) for week in range(-1, 3)]
    assert [bool(walls(bounded, day)) for day in weeks] == [False, True, True, False]


def test_a_break_takes_out_what_reaches_into_it_and_shifts_nothing() -> None:
    lunch = {"from": "09:45", "to": "10:30", "kind": "personal"}
    assert walls(rules(breaks=[lunch])) == ["08:00", "08:30", "09:00", "10:30", "11:00", "11:30"]
    assert walls(rules(breaks=[{**lunch, "weekday": 2}])) == walls(rules())
    assert walls(rules(breaks=[{**lunch, "effective_until": "2026-11-29"}])) == walls(rules())


def test_public_holidays_are_days_off_where_they_are_kept() -> None:
    every_day = [{**MORNING, "weekday": day} for day in range(1, 8)]
    epiphany = date(2027, 1, 6)  # kept in Bavaria, not in Berlin
    bavaria, berlin = ({"country": "DE", "region": region} for region in ("BY", "BE"))
    assert walls(rules(*every_day, holidays=bavaria), epiphany) == []
    assert walls(rules(*every_day, holidays=berlin), epiphany)
    assert walls(rules(*every_day, holidays=bavaria, works_on_holidays=True), epiphany)
    assert walls(rules(*every_day, holidays={"country": "FR"}), date(2027, 7, 14)) == []


def test_a_business_has_days_off_of_its_own() -> None:
    assert walls(Calendar(rules(), days_off=(MONDAY,))) == []
    assert walls(Calendar(rules(works_on_holidays=True), days_off=(MONDAY,)))


def test_an_extension_opens_a_day_off_and_a_block_closes_even_that() -> None:
    extend = {"override_id": "1", "kind": "extend", "from": at("18:00"), "to": at("20:00"), "slot_minutes": 60}
    block = {"override_id": "2", "kind": "block", "from": at("19:30"), "to": at("19:45")}
    overrides = msgspec.convert((extend, block), tuple[Override, ...])
    assert walls(Calendar(rules(), overrides[:1], (MONDAY,))) == ["18:00", "19:00"]
    assert walls(Calendar(rules(), overrides, (MONDAY,))) == ["18:00", "19:00"]
    assert walls(Calendar(rules(), overrides, (MONDAY,)), minutes=60) == ["18:00"]
    assert is_open(Calendar(rules(), overrides), BERLIN, at("18:20"), at("19:30"))
    assert not is_open(Calendar(rules(), overrides), BERLIN, at("18:20"), at("19:31"))


def test_open_time_is_what_lies_in_it_on_the_grid_or_not() -> None:
    calendar = Calendar(rules(breaks=[{"from": "10:00", "to": "10:30"}]))
    assert is_open(calendar, BERLIN, at("08:07"), at("09:59"))
    assert is_open(calendar, BERLIN, at("10:30"), at("12:00"))
    assert not is_open(calendar, BERLIN, at("09:45"), at("10:15"))
    assert not is_open(calendar, BERLIN, at("11:45"), at("12:01"))
    assert not is_open(calendar, BERLIN, at("07:59"), at("08:10"))


def test_notice_and_days_ahead_bound_what_can_be_booked_now() -> None:
    now = at("09:10")
    assert bookable_span(rules(), BERLIN, now) == (now, None)
    bounded = rules(notice_minutes=90, max_days_ahead=2)
    assert bookable_span(bounded, BERLIN, now) == (at("10:40"), at("00:00", MONDAY + timedelta(days=3)))


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"weekly": [{**MORNING, "to": "08:00"}]}, "/weekly/0/to"),
        ({"weekly": [MORNING, {**MORNING, "from": "11:30", "to": "13:00"}]}, "/weekly/1"),
        ({"weekly": [], "breaks": [{"from": "13:00", "to": "12:00"}]}, "/breaks/0/to"),
        (
            {"weekly": [{**MORNING, "effective_from": "2027-01-02", "effective_until": "2027-01-01"}]},
            "/weekly/0/effective_until",
        ),
    ],
)
def test_contradictions_are_told_with_their_place(document: dict[str, Any], pointer: str) -> None:
    assert [where for where, _ in mistakes(msgspec.convert(document, Availability))] == [pointer]


def test_rules_that_never_meet_may_cover_the_same_hours() -> None:
    winter = {**MORNING, "effective_until": "2027-03-31"}
    summer = {**MORNING, "from": "07:00", "effective_from": "2027-04-01"}
    assert list(mistakes(rules(winter, summer, {**MORNING, "weekday": 2}))) == []


@pytest.mark.parametrize(
    ("country", "region", "known"),
    [("DE", None, True), ("DE", "BY", True), ("DE", "ZZ", False), ("XX", None, False), ("US", "CA", True)],
)
def test_countries_and_regions_that_exist(country: str, region: str | None, known: bool) -> None:
    assert is_known(Holidays(country=country, region=region)) is known


def test_a_document_reads_as_it_was_written() -> None:
    document = Availability(
        weekly=(Weekly(weekday=1, from_="08:00", to="24:00", slot_minutes=15, effective_from=MONDAY),),
        breaks=(Break(from_="12:00", to="13:00"),),
        holidays=Holidays(country="DE", region="BE"),
    )
    assert msgspec.json.decode(msgspec.json.encode(document), type=Availability) == document
