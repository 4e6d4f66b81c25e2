"""Hold books by the rules that a clinic has put, never by those it has just replaced, and around what is busy."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.calendars import MORNING, put_busy, put_override, put_rules, rules
from tests.support.commands import appended, book, cancel
from tests.support.database import Database
from tests.support.holding import REST, Hold, patiently, rows_of, seeded
from tests.support.world import ClinicSpec, clinics, tomorrow
from waiting_room.domain.appointment import Reason
from waiting_room.domain.availability.fit import Why, unfit
from waiting_room.domain.availability.rules import Availability, Override, OverrideKind
from waiting_room.messages import TimeRange
from waiting_room.store import calendars

DAYS_AHEAD = (tomorrow().date() - datetime.now(UTC).date()).days


async def became(database: Database) -> list[tuple[str | None, datetime | None]]:
    """(reason, start) of each booking, in the order they came in."""
    rows = await rows_of(
        database,
        """
        SELECT a.reason, a.start_at FROM appointments a
        JOIN appointment_events e USING (clinic_id, booking_ref) WHERE e.event = 'booking.accepted' ORDER BY e.seq
        """,
    )
    return [(row["reason"], row["start_at"]) for row in rows]


@pytest.fixture
async def clinic(database: Database) -> ClinicSpec:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    return clinic


@pytest.mark.parametrize(
    ("availability", "start_at", "reason"),
    [
        (rules(), tomorrow(9, 30), None),
        (rules(), tomorrow(9, 10), Reason.OUTSIDE_HOURS),
        (rules(), tomorrow(12), Reason.OUTSIDE_HOURS),
        (rules(breaks=[{"from": "09:45", "to": "10:00"}]), tomorrow(9, 30), Reason.OUTSIDE_HOURS),
        (rules(notice_minutes=2_880), tomorrow(9, 30), Reason.TOO_SHORT_NOTICE),
        (rules(max_days_ahead=0), tomorrow(9, 30), Reason.TOO_FAR_AHEAD),
        (rules(max_days_ahead=DAYS_AHEAD), tomorrow(9, 30), None),
    ],
)
async def test_an_exact_start_must_be_one_of_the_rules(
    database: Database,
    hold: Hold,
    clinic: ClinicSpec,
    availability: Availability,
    start_at: datetime,
    reason: Reason | None,
) -> None:
    await put_rules(database, clinic, availability)
    await hold(appended(book(clinic, "one", start_at=start_at)))
    assert await became(database) == [(reason, start_at)]


async def test_a_range_takes_the_earliest_start_that_the_rules_allow(
    database: Database, hold: Hold, clinic: ClinicSpec
) -> None:
    await put_rules(database, clinic, rules(breaks=[{"from": "09:30", "to": "10:30"}], buffer_minutes=10))
    whole = TimeRange(tomorrow(0), tomorrow(0) + timedelta(days=1))
    await hold(appended(*(book(clinic, f"key {n}", range=whole) for n in range(4))))
    # The buffer of ten minutes keeps the seat over the next start.
    assert await became(database) == [
        (None, tomorrow(9)),
        (None, tomorrow(10, 30)),
        (None, tomorrow(11, 30)),
        (Reason.NO_FREE_SLOT, None),
    ]


async def test_overrides_close_and_open_time(database: Database, hold: Hold, clinic: ClinicSpec) -> None:
    await put_rules(database, clinic, rules())
    for number, (kind, hour) in enumerate(((OverrideKind.BLOCK, 9), (OverrideKind.EXTEND, 20))):
        until = tomorrow(hour) + timedelta(hours=1)
        override = Override(
            override_id=str(number),
            kind=kind,
            from_at=tomorrow(hour),
            to_at=until,
            slot_minutes=30 if kind is OverrideKind.EXTEND else None,
        )
        await put_override(database, clinic, override)
    await hold(appended(*(book(clinic, f"at {hour}", start_at=tomorrow(hour)) for hour in (9, 10, 20, 21))))
    assert [reason for reason, _ in await became(database)] == [
        Reason.OUTSIDE_HOURS,
        None,
        None,
        Reason.OUTSIDE_HOURS,
    ]


async def test_what_the_clinic_says_is_busy_is_not_given(database: Database, hold: Hold, clinic: ClinicSpec) -> None:
    await put_rules(database, clinic, rules(), capacity=3)
    await put_busy(database, clinic, 9)
    await put_busy(database, clinic, 10, seats=2)
    wanted = [(9, "all busy"), (10, "the third seat"), (10, "none left"), (11, "free")]
    await hold(appended(*(book(clinic, key, start_at=tomorrow(hour)) for hour, key in wanted)))
    assert [reason for reason, _ in await became(database)] == [Reason.SLOT_TAKEN, None, Reason.SLOT_TAKEN, None]


async def test_a_seat_that_is_taken_away_keeps_its_booking_and_is_not_given_again(
    database: Database, hold: Hold, clinic: ClinicSpec
) -> None:
    await put_rules(database, clinic, rules(), capacity=2)
    await hold(appended(*(book(clinic, key) for key in ("one", "two"))))
    await put_rules(database, clinic, rules(), capacity=1)
    await hold(appended(book(clinic, "three"), first_offset=2))
    assert [reason for reason, _ in await became(database)] == [None, None, Reason.SLOT_TAKEN]
    async with database.owner() as owner:
        provider = await calendars.provider(owner, clinic.clinic_id, clinic.provider_id)
        booked = await calendars.booked(owner, clinic.clinic_id, clinic.provider_id, tomorrow(0))
        assert provider is not None
        assert [(each.seat, why) for each, why in unfit(provider, "UTC", booked, [])] == [(1, Why.SEAT_GONE)]
        assert await owner.fetchval("SELECT greatest(capacity, capacity_before) FROM providers") == 2


async def test_fewer_seats_are_fewer_bookings_whoever_gives_theirs_up(
    database: Database, hold: Hold, clinic: ClinicSpec
) -> None:
    """Who stays has the seat that is gone; the one that came free is no second one."""
    await put_rules(database, clinic, rules(), capacity=2)
    first = book(clinic, "first")
    await hold(appended(first, book(clinic, "second")))
    await put_rules(database, clinic, rules(), capacity=1)
    await hold(appended(cancel(first), first_offset=2))
    await hold(appended(book(clinic, "third"), first_offset=3))
    assert [reason for reason, _ in await became(database)] == [Reason.PATIENT, None, Reason.SLOT_TAKEN]


async def test_rules_that_are_being_replaced_are_waited_for(database: Database, hold: Hold, clinic: ClinicSpec) -> None:
    await put_rules(database, clinic, rules())
    await hold(appended(book(clinic, "before", start_at=tomorrow(9))))
    async with database.owner() as owner:
        async with owner.transaction():
            await calendars.lock(owner, clinic.clinic_id)
            await calendars.put_availability(owner, clinic.provider_id, rules({**MORNING, "from": "11:00"}), None)
            await calendars.publish(owner, clinic.clinic_id)
            items = appended(book(clinic, "during", start_at=tomorrow(10)), first_offset=1)
            during = asyncio.create_task(patiently(lambda: hold(items)))
            while not await owner.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                assert not during.done()
                await asyncio.sleep(0)
        await during
    assert await became(database) == [(None, tomorrow(9)), (Reason.OUTSIDE_HOURS, tomorrow(10))]
