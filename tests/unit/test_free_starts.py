"""How many starts a clinic has within the horizon: counted day by day, against listing all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from waiting_room.domain.availability.rules import Availability, Break, Weekly
from waiting_room.domain.directory import AdapterKind, ClinicStatus, Provider, ServiceType
from waiting_room.domain.schedule import slot_starts
from waiting_room.store.holds import Rules
from workers.hold.free_starts import starts_within

SERVICES = {name: ServiceType(service_type=name, duration_minutes=minutes) for name, minutes in (("a", 20), ("b", 50))}


def provider(number: int, capacity: int) -> Provider:
    availability = Availability(
        weekly=tuple(Weekly(weekday=day, from_="08:00", to="24:00", slot_minutes=20 + number) for day in range(1, 7)),
        breaks=(Break(from_="12:00", to="13:00"),),
    )
    return Provider(
        provider_id=str(number),
        name="Dr",
        capacity=capacity,
        service_types=("a", "b", "gone"),
        hours=(),
        availability=availability,
        availability_version=1,
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 400 * 1_440), st.integers(1, 20), st.lists(st.integers(1, 3), max_size=3))
def test_all_are_counted_once(minute: int, days: int, capacities: list[int]) -> None:
    providers = [provider(number, capacity) for number, capacity in enumerate(capacities)]
    rules = Rules(
        clinic_id="0001",
        version=1,
        status=ClinicStatus.OPEN,
        timezone="Europe/Berlin",
        adapter=AdapterKind.BUILTIN,
        partition=0,
        moving_to=None,
        service_types=SERVICES,
        providers={each.provider_id: each for each in providers},
        business_id="demo",
        cancel_notice_minutes=0,
        good_until=datetime.max.replace(tzinfo=UTC),
        bookable_until=datetime.max.replace(tzinfo=UTC),
    )
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    until = now + timedelta(days=days)
    listed = sum(
        each.capacity
        * max(len(list(slot_starts(each, service, rules.timezone, now, until))) for service in SERVICES.values())
        for each in providers
    )
    assert starts_within(rules, now, days) == listed
