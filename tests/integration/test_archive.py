"""Bookings that are over leave the tables that are written all day: whole, once, and only when all is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from tests.support.archived import CHILDREN, COMPLETED, OPEN, PATIENT, archive, long_ago, over, publish
from tests.support.commands import APP, book, cancel
from tests.support.database import Database, clone
from tests.support.patients import sealed, tag
from tests.support.world import clinics, seed
from tests.support.written import CALLING, CONFIRMED, HELD, UNKNOWN, WITHDRAWING, plant
from waiting_room.domain.appointment import EventType, Reason
from waiting_room.store import archived, archiving, bookings, outbox
from waiting_room.store.archiving import Candidate
from waiting_room.store.bookings import BookingRow
from waiting_room.store.journal import Booking
from waiting_room.store.pool import Connection, Pool
from workers.sweep import archive as archive_step
from workers.sweep.archive import Archiving

[SPEC, OTHER] = clinics(2)
TABLES = (
    "appointments", "appointment_events", "seat_claims", "reschedules", "call_attempts", "waitlist", "offers",
    "notifications", "webhook_deliveries", "webhook_attempts", "pass_generations",
)  # fmt: skip


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    async with database.owner() as connection:
        await seed(connection, [SPEC, OTHER])
        yield connection


async def do(owner: Connection, statements: str, booking: Booking) -> None:
    await owner.execute(statements.replace("$ref", f"'{booking.booking_ref}'"))


async def left(owner: Connection, booking: Booking) -> dict[str, int]:
    """By table, the rows that know of the booking still."""
    found = {}
    for table in TABLES:
        by_ref = "" if table == "webhook_attempts" else f" WHERE booking_ref = '{booking.booking_ref}'"
        found[table] = await owner.fetchval(f"SELECT count(*) FROM {table}{by_ref}")
    return {table: count for table, count in found.items() if count}


async def told(owner: Connection, booking: Booking) -> tuple[Any, ...]:
    """All that is read of a booking, by whom and when it was."""
    row = await bookings.booking(owner, booking.booking_ref)
    assert isinstance(row, BookingRow)
    plain = [getattr(row, name) for name in BookingRow.__slots__ if name != "archived"]
    patient = tag("anna")
    day = booking.start_at or long_ago()
    return (
        plain,
        await bookings.history(owner, *booking.key),
        await bookings.of_patient(owner, APP, patient, None, 10),
        await bookings.of_day(owner, booking.clinic_id, day - timedelta(hours=9), day + timedelta(hours=15), None, 10),
    )


async def test_a_booking_that_is_over_is_read_as_before_and_is_nowhere_else(owner: Connection, sweeping: Pool) -> None:
    booking = await over(owner, SPEC, 1)
    beside = await over(owner, SPEC, 2, (*HELD, EventType.REJECTED), reason=Reason.SLOT_TAKEN)
    await do(owner, CHILDREN, booking)
    assert set(await left(owner, booking)) == set(TABLES)
    before = await told(owner, booking)
    async with sweeping.acquire() as conn:
        assert await archive(conn, "0001", [booking.booking_ref]) == {booking.booking_ref}
        assert await archive(conn, "0001", [booking.booking_ref]) == set()
    assert await left(owner, booking) == {}
    assert len(before[1]) == 6
    assert len(before[2]) == len(before[3]) == 2
    assert await told(owner, booking) == before
    [message] = await archived.notifications(owner, *booking.key)
    assert (message.kind, message.channel, message.state) == ("confirmed", "email", "sent")
    assert [row["booking_ref"] for row in await owner.fetch("SELECT booking_ref FROM appointments")] == [
        beside.booking_ref
    ]
    document = await owner.fetchval("SELECT document::text FROM archived_bookings")
    assert "what it answered" not in document
    assert "body_hash" not in document
    assert not await outbox.news(owner)


@pytest.fixture(scope="module")
async def settled(template: Database) -> AsyncIterator[tuple[Connection, Booking]]:
    """A booking for which nothing is left to do, with a row in every table. For all that is rolled back."""
    async with clone(template) as database, database.owner() as owner:
        await seed(owner, [SPEC, OTHER])
        booking = await over(owner, SPEC, 1)
        await do(owner, CHILDREN, booking)
        yield owner, booking


@pytest.mark.parametrize("what", [*OPEN, "nothing"], ids=lambda what: what.replace(" ", "_"))
async def test_what_has_something_open_stays(settled: tuple[Connection, Booking], what: str) -> None:
    owner, booking = settled
    transaction = owner.transaction()
    await transaction.start()
    try:
        await do(owner, OPEN.get(what, "SELECT 1"), booking)
        rows = await left(owner, booking)
        gone = await archive(owner, "0001", [booking.booking_ref])
        assert gone == ({booking.booking_ref} if what == "nothing" else set())
        assert await left(owner, booking) == ({} if what == "nothing" else rows)
    finally:
        await transaction.rollback()


async def test_only_what_is_decided_and_settled_with_its_clinic_goes(owner: Connection, sweeping: Pool) -> None:
    ends = {
        "held": HELD,
        "calling": CALLING,
        "unknown": UNKNOWN,
        "withdrawing": WITHDRAWING,
        "rejected, perhaps booked": (*UNKNOWN, EventType.REJECTED),
        "confirmed": CONFIRMED,
        "arrived": (*CONFIRMED, EventType.ARRIVED),
        "completed": COMPLETED,
        "absent": (*CONFIRMED, EventType.NO_SHOW),
        "withdrawn": (*WITHDRAWING, EventType.WITHDRAWN),
    }
    made = {}
    for number, (name, events) in enumerate(ends.items()):
        made[name] = (await over(owner, SPEC, number, events, reason=Reason.SLOT_TAKEN)).booking_ref
    gone = {"arrived", "completed", "absent", "withdrawn"}
    async with sweeping.acquire() as conn:
        await owner.execute("UPDATE clinics SET no_show_after_minutes = 15")
        assert await archive(conn, "0001", list(made.values())) == {made[name] for name in gone}
        await owner.execute("UPDATE clinics SET no_show_after_minutes = NULL")
        assert await archive(conn, "0001", list(made.values())) == {made["confirmed"]}


async def test_what_happened_lately_stays_for_a_while(owner: Connection, sweeping: Pool) -> None:
    booking = await over(owner, SPEC, 1)
    async with sweeping.acquire() as conn:
        assert await archive(conn, "0001", [booking.booking_ref], days_ahead=-1) == set()
        assert await archiving.late_seconds(conn, datetime.now(UTC) - timedelta(days=1)) == 0
        late = await archiving.late_seconds(conn, datetime.now(UTC) + timedelta(days=3))
        assert timedelta(days=3) <= timedelta(seconds=late) < timedelta(days=4)


async def test_no_event_goes_that_is_not_in_the_archive(owner: Connection, sweeping: Pool, database: Database) -> None:
    booking = await over(owner, SPEC, 1)
    other = await over(owner, SPEC, 2)
    forged = (
        "INSERT INTO archived_bookings (day, clinic_id, booking_ref, app_id, accepted_at, document) "
        "SELECT now() - interval '40 days', clinic_id, booking_ref, 'app', now(), jsonb_build_object('events', "
        "jsonb_agg({record} ORDER BY seq)) FROM appointment_events WHERE booking_ref = $ref {only} GROUP BY 2, 3"
    )
    await archiving.make_range(owner, long_ago().date().replace(day=1))
    for record, only in (("record", "AND event <> 'booking.held'"), ("record::jsonb || '{\"at\": 1}'", "")):
        async with sweeping.acquire() as conn:
            for who in (owner, conn):
                transaction = who.transaction()
                await transaction.start()
                await do(who, forged.format(record=record, only=only), booking)
                with pytest.raises(asyncpg.RaiseError, match="append-only"):
                    await do(who, "DELETE FROM appointment_events WHERE booking_ref = $ref", booking)
                await transaction.rollback()
                with pytest.raises(asyncpg.RaiseError, match="append-only"):
                    await do(who, "DELETE FROM appointment_events WHERE booking_ref = $ref", other)
    hold = await asyncpg.connect(database.dsn("hold"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await hold.execute("DELETE FROM appointment_events")
    finally:
        await hold.close()


async def test_killed_in_the_middle_nothing_has_happened(owner: Connection, database: Database) -> None:
    booking = await over(owner, SPEC, 1)
    await do(owner, CHILDREN, booking)
    rows, before = await left(owner, booking), await told(owner, booking)
    killed = await asyncpg.connect(database.dsn("sweep"))
    await archiving.make_range(killed, long_ago().date().replace(day=1))
    await killed.execute("BEGIN")
    ahead = datetime.now(UTC) + timedelta(days=1)
    assert await archiving.archive(killed, "0001", [booking.booking_ref], ahead) == [booking.booking_ref]
    killed.terminate()
    async with owner.transaction():
        await owner.execute("SELECT FROM clinic_counters WHERE clinic_id = '0001' FOR UPDATE")  # when it is rolled back
    assert (await left(owner, booking), await told(owner, booking)) == (rows, before)
    assert await archive(owner, "0001", [booking.booking_ref]) == {booking.booking_ref}


async def test_a_sweep_goes_through_everything_and_two_do_it_once(
    owner: Connection, sweeping: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_step, "BATCH_MAX", 3)
    for spec in (SPEC, OTHER):
        for number in range(7):
            await over(owner, spec, number)
        await plant(owner, spec, 7, HELD)
        never = cancel(book(spec, "never"))
        await owner.execute(
            "INSERT INTO appointments (clinic_id, booking_ref, app_id, status, reason, accepted_at, decided_at) "
            "VALUES ($1, $2, 'app', 'cancelled', 'pat', now(), now())",
            spec.clinic_id,
            never.booking_ref,
        )
        await owner.execute(
            "INSERT INTO appointment_events SELECT clinic_id, last_seq + 1, $2, 'booking.cancelled', now(), "
            "jsonb_build_object('seq', last_seq + 1) FROM clinic_counters WHERE clinic_id = $1",
            spec.clinic_id,
            never.booking_ref,
        )
        await owner.execute("UPDATE clinic_counters SET last_seq = last_seq + 1 WHERE clinic_id = $1", spec.clinic_id)
    await publish(owner)
    both = [Archiving(sweeping, -1), Archiving(sweeping, -1)]
    done = 0
    async with asyncio.timeout(60):
        while done < 16:  # one that finds a clinic locked for too long leaves it to the next round
            done += sum(await asyncio.gather(*(each.look() for each in both)))
    done += sum(await asyncio.gather(*(each.look() for each in both)))
    assert done == 16
    assert await owner.fetchval("SELECT count(*) FROM archived_bookings") == 16
    assert await owner.fetchval("SELECT count(*) FROM appointments") == 2


async def test_a_clinic_that_is_locked_waits_for_the_next_round(owner: Connection, sweeping: Pool) -> None:
    await over(owner, SPEC, 1)
    await over(owner, OTHER, 1)
    archiving_step = Archiving(sweeping, -1)
    async with owner.transaction():
        await owner.execute("SELECT FROM clinic_counters WHERE clinic_id = '0001' FOR UPDATE")
        assert await archiving_step.look() == 1
    assert await archiving_step.look() == 1


SPOILT = {
    "a bug": "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'spoilt'; END $$; "
    "CREATE TRIGGER fails BEFORE DELETE ON appointments FOR EACH ROW WHEN (OLD.booking_ref = $ref) "
    "EXECUTE FUNCTION fail()",
    "a reference": "CREATE TABLE kept (clinic_id text, booking_ref text, "
    "FOREIGN KEY (clinic_id, booking_ref) REFERENCES appointments (clinic_id, booking_ref)); "
    "INSERT INTO kept VALUES ('0001', $ref)",
    "a check": "ALTER TABLE archived_bookings ADD CONSTRAINT spoilt CHECK (booking_ref <> $ref)",
}


def left_out() -> float:
    return REGISTRY.get_sample_value("waiting_room_swept_total", {"kind": "left_out"}) or 0.0


@pytest.mark.parametrize("how", SPOILT, ids=lambda how: how.replace(" ", "_"))
async def test_one_that_fails_whenever_it_is_tried_keeps_no_other(owner: Connection, sweeping: Pool, how: str) -> None:
    made = [await over(owner, SPEC, number) for number in range(3)]
    await do(owner, SPOILT[how], made[1])
    step, before = Archiving(sweeping, -1), left_out()
    assert await step.look() == 2
    assert await owner.fetchval("SELECT booking_ref FROM appointments") == made[1].booking_ref
    assert await owner.fetchval("SELECT count(*) FROM archived_bookings") == 2
    assert left_out() == before + 1, "its alert tells"
    again = await over(owner, SPEC, 4)
    await Archiving(sweeping, -1).look()
    assert await owner.fetchval("SELECT count(*) FROM appointments") == 1, "nor does it the next time"
    assert await owner.fetchval("SELECT count(*) FROM archived_bookings WHERE booking_ref = $1", again.booking_ref) == 1


async def test_a_month_that_is_detached_takes_nothing(owner: Connection, sweeping: Pool) -> None:
    await over(owner, SPEC, 1)
    month = long_ago().date().replace(day=1)
    await archiving.make_range(owner, month)
    step = Archiving(sweeping, -1)
    await step._count(owner, 0.0, datetime.now(UTC))
    step._ranges.add(month)  # it was there a moment ago
    before = left_out()
    await owner.execute(f"ALTER TABLE archived_bookings DETACH PARTITION archived_bookings_{month:%Y_%m}")
    assert await step.look() == 0
    assert await Archiving(sweeping, -1).look() == 0
    assert await owner.fetchval("SELECT count(*) FROM appointments") == 1
    assert left_out() == before, "that is no fault of the booking"


def test_a_range_is_a_month_of_days_in_utc() -> None:
    summer = datetime(2026, 8, 1, 1, tzinfo=UTC).astimezone()
    assert Candidate("x", summer).month == datetime(2026, 8, 1, tzinfo=UTC).date()


async def test_a_seal_is_asked_for_by_the_table_too(owner: Connection) -> None:
    await archiving.make_range(owner, long_ago().date().replace(day=1))
    await sealed(owner, PATIENT)
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute(
            "INSERT INTO archived_bookings (day, clinic_id, booking_ref, app_id, accepted_at, patient_id, document) "
            "VALUES (now() - interval '40 days', '0001', '0001-X', 'app', now(), 'anna', '{}')"
        )
