"""The schema itself: what it refuses whoever asks."""

from __future__ import annotations

import asyncpg
import pytest

from tests.stack import Kafka
from tests.support.commands import appended, book, cancel
from tests.support.database import Database, with_sslmode
from tests.support.holding import REST, Hold, rows_of, seeded
from tests.support.stocked import lot, lots_of, stocked
from tests.support.waiting import claims, stands, wait
from tests.support.world import clinics, seed, tomorrow
from waiting_room.store import migrate


async def test_append_only(database: Database, fresh_kafka: Kafka) -> None:
    async with database.owner() as owner:
        await seed(owner, clinics(2))
        await owner.execute(
            "INSERT INTO appointment_events VALUES ('0001', 1, '0001-X', 'booking.accepted', now(), '{}')"
        )
        for statement in (
            "UPDATE appointment_events SET event = 'booking.held'",
            "DELETE FROM appointment_events",
            "TRUNCATE appointment_events",
        ):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await owner.execute(statement)


async def test_the_schema_goes_back_whatever_bookings_are_at(database: Database, hold: Hold) -> None:
    """To before there was a waitlist, and forth again: what was held for who waited is free then."""
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    await stocked(database, clinic, lot("a", 3))
    booked, offered, waits = book(clinic, "booked"), wait(clinic, "1"), wait(clinic, "2")
    await hold(appended(booked, offered, waits, cancel(booked)))
    async with database.owner() as owner:
        await owner.execute("UPDATE service_types SET eligibility = 'fail_closed'")
        await owner.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")
    verified = book(clinic, "verified", start_at=tomorrow(11))
    await hold(appended(verified, first_offset=4))
    stand = await stands(database)
    at = [stand[each.booking_ref] for each in (offered, waits, verified)]
    assert at == [("waitlisted", "offered"), ("waitlisted", "waiting"), ("pending", "verifying")]

    dsn = with_sslmode(database.owner_dsn)
    while await rows_of(database, "SELECT FROM schema_migrations WHERE version = '20261127000016'"):
        await migrate.dbmate(dsn, "rollback")
    for _ in range(2):
        stand = await stands(database)
        at = [stand[each.booking_ref] for each in (offered, waits, verified)]
        assert at == [("rejected", None), ("rejected", None), ("pending", "held")]
        assert await claims(database) == [(verified.booking_ref, tomorrow(11), 0)]
        assert [each.reserved for each in await lots_of(database)] == [1]
        await migrate.migrate(dsn)
