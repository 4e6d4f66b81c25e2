"""What was booked and cancelled by phone comes in from the clinic's own system, which a confirm worker asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from loadtest.clinics.books import BookingRequest, Patient
from loadtest.clinics.phone import BusyTime, PhoneCall
from tests.stack import Kafka
from tests.support.commands import appended, book
from tests.support.confirming import Site, confirming, sites, until
from tests.support.database import Database
from tests.support.holding import Hold, rows_of
from tests.support.waiting import open_offers, wait
from tests.support.world import settings_for, tomorrow
from waiting_room.domain.clinic_changes import SOURCE, BusyThere, Changes
from waiting_room.store import clinic_changes
from waiting_room.store.clinic_changes import Due
from waiting_room.store.pool import create_pool

OFTEN = {"clinic_changes_seconds": 0.1}


@pytest.fixture
async def site(database: Database, fresh_kafka: Kafka) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        (site,) = await stack.enter_async_context(sites(database, fresh_kafka, settings=OFTEN, reports_changes=True))
        yield site


def by_phone(site: Site, name: str, hour: int, provider_id: str | None = None) -> None:
    from_at = tomorrow(hour)
    busy = BusyTime(
        busy_id=name,
        provider_id=provider_id or site.spec.provider_id,
        from_at=from_at,
        to_at=from_at + timedelta(minutes=30),
    )
    site.clinic.answer_phone(PhoneCall(busy=busy), datetime.now(UTC))


async def told(database: Database) -> dict[str, datetime]:
    """What the clinic's system says is busy, as we have it."""
    rows = await rows_of(database, f"SELECT busy_id, lower(during) AS at FROM busy_times WHERE source = '{SOURCE}'")
    return {row["busy_id"]: row["at"] for row in rows}


async def test_what_is_booked_by_phone_takes_its_time_here(database: Database, site: Site, hold: Hold) -> None:
    by_phone(site, "tel-1", 9)
    by_phone(site, "tel-2", 10)
    by_phone(site, "of-nobody", 9, provider_id="who")
    async with confirming(site):
        await until(lambda: _are(database, {"tel-1": tomorrow(9), "tel-2": tomorrow(10)}))
        site.clinic.answer_phone(PhoneCall(gone="tel-2"), datetime.now(UTC))
        by_phone(site, "tel-1", 11)
        await until(lambda: _are(database, {"tel-1": tomorrow(11)}))
        site.clinic.answer_phone(PhoneCall(gone="tel-1"), datetime.now(UTC))
        site.clinic.answer_phone(PhoneCall(forget=True), datetime.now(UTC))
        by_phone(site, "tel-3", 12)
        await until(lambda: _are(database, {"tel-3": tomorrow(12)}))
    await hold(appended(book(site.spec, "late", start_at=tomorrow(12)), book(site.spec, "fine", start_at=tomorrow(11))))
    rows = await rows_of(database, "SELECT start_at, status, reason FROM appointments ORDER BY start_at")
    assert [(row["status"], row["reason"]) for row in rows] == [("pending", None), ("rejected", "slot_taken")]


async def _are(database: Database, wanted: dict[str, datetime]) -> bool:
    return await told(database) == wanted


async def test_a_cancel_by_phone_frees_the_seat_for_who_waits(database: Database, site: Site, hold: Hold) -> None:
    booked, waiter = book(site.spec, "booked"), wait(site.spec, "waits")
    outcome = await hold(appended(booked, waiter))
    (booking,) = outcome.due
    async with confirming(site):
        await site.ring(booking)
        await site.until_state("confirmed", "booked", booking)
        calls = site.calls
        site.clinic.answer_phone(PhoneCall(cancel=booking.booking_ref, by="patient"), datetime.now(UTC))
        await site.until_state("cancelled", "none", booking)
        assert site.calls == calls, "what it took back itself is not taken back from it"
    row = await site.row(booking)
    assert (row["by"], row["reason"], row["claims"]) == ("patient", "pat", 0)
    (offer,) = await open_offers(database)
    assert (offer.booking_ref, offer.start_at) == (waiter.booking_ref, tomorrow())


async def test_what_was_moved_there_without_our_knowing_is_off_as_well(site: Site) -> None:
    """The answer to a move was lost, and by the time the clinic was asked it had cancelled: as if it had not moved."""
    (booking,) = await site.hold()
    async with confirming(site):
        await site.until_state("confirmed", "booked", booking)
        (record,) = site.clinic.books.records()
        moved = BookingRequest(
            booking.booking_ref, 2, record.provider_id, 0, "", tomorrow(15), tomorrow(16), Patient(id="p")
        )
        site.clinic.books.book(moved, datetime.now(UTC))
        site.clinic.answer_phone(PhoneCall(cancel=booking.booking_ref), datetime.now(UTC))
        await site.until_state("cancelled", "none", booking)


async def test_a_clinic_that_tells_nothing_is_asked_more_rarely_and_holds_up_nobody(
    database: Database, site: Site
) -> None:
    site.change(down="503")
    async with confirming(site):
        await until(lambda: _failed(database, 3))
        site.change(down=None)
        by_phone(site, "tel-1", 9)
        await until(lambda: _are(database, {"tel-1": tomorrow(9)}))
    (row,) = await rows_of(database, "SELECT failures, read_at FROM clinic_changes")
    assert row["failures"] == 0
    assert row["read_at"] is not None


async def _failed(database: Database, times: int) -> bool:
    rows = await rows_of(database, "SELECT failures FROM clinic_changes")
    return bool(rows) and rows[0]["failures"] >= times


async def test_an_answer_that_comes_too_late_is_not_taken_over(database: Database, site: Site) -> None:
    pool = await create_pool(settings_for(database, None, "confirm"), "confirm")

    async def say(after: str | None, cursor: str, *hours: int) -> bool:
        busy = tuple(
            BusyThere(
                busy_id=f"tel-{hour}",
                provider_id=site.spec.provider_id,
                from_at=tomorrow(hour),
                to_at=tomorrow(hour + 1),
            )
            for hour in hours
        )
        due, changes = Due(site.spec.clinic_id, after), Changes(cursor=cursor, busy=busy)
        async with pool.acquire() as conn, conn.transaction():
            return await clinic_changes.apply(conn, due, changes, 60.0) is not None

    async with pool.acquire() as conn:
        assert await clinic_changes.claim(conn, 5, 60.0) == [Due(site.spec.clinic_id, None)]
        assert await clinic_changes.claim(conn, 5, 60.0) == [], "one asks at a time"
    assert await say(None, "1", 9)
    before = await _busy_version(database)
    assert await say("1", "2", 10)
    assert not await say("1", "1a", 11), "somebody has gone on from there"
    assert not await say(None, "0")
    assert await say("2", "3")
    assert await told(database) == {"tel-9": tomorrow(9), "tel-10": tomorrow(10)}
    assert await _busy_version(database) == before + 1, "copies are not read again where nothing has changed"
    await pool.close()


async def _busy_version(database: Database) -> int:
    (row,) = await rows_of(database, "SELECT busy_version FROM clinic_counters")
    found: asyncpg.Record = row
    return int(found["busy_version"])
