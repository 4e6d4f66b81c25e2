"""One key, one booking: retries, redeliveries, aliases, and cancels that come at any time."""

from __future__ import annotations

from tests.support.commands import APP, appended, book, cancel
from tests.support.database import Database
from tests.support.holding import REST, Hold, rows_of, seeded
from tests.support.world import clinics, tomorrow
from waiting_room.domain.booking_ref import RefSecrets
from waiting_room.messages import Cancel


async def test_redelivery_changes_nothing_and_rings_again(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    items = appended(book(clinic, "first"), book(clinic, "loser"))
    await hold(items)
    before = await rows_of(database, "SELECT * FROM appointment_events ORDER BY seq")
    again = await hold(items)

    assert [each.booking_ref for each in again.due] == [items[0].command.booking_ref]
    assert await rows_of(database, "SELECT * FROM appointment_events ORDER BY seq") == before


async def test_a_loser_stays_one_when_it_is_redelivered_after_a_cancel(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    winner, loser = book(clinic, "winner"), book(clinic, "loser")
    items = appended(winner, loser, cancel(winner))
    await hold(items)
    await hold(items)
    rows = {row["booking_ref"]: row["status"] for row in await rows_of(database, "SELECT * FROM appointments")}
    assert rows == {winner.booking_ref: "cancelled", loser.booking_ref: "rejected"}
    assert not await rows_of(database, "SELECT * FROM seat_claims")


async def test_a_cancel_that_overtakes_its_booking_wins(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    command = book(clinic, "key")
    await hold(appended(cancel(command)))
    outcome = await hold(appended(command, first_offset=1))
    assert not outcome.due
    (row,) = await rows_of(database, "SELECT status FROM appointments")
    assert row["status"] == "cancelled"


async def test_one_key_at_two_clinics_makes_one_booking(database: Database, hold: Hold) -> None:
    first, second = clinics(2, endpoint=REST)
    await seeded(database, [first, second])
    here, there = book(first, "same key"), book(second, "same key")
    await hold(appended(here))
    outcome = await hold(appended(there, partition=1))
    assert not outcome.due
    assert len(await rows_of(database, "SELECT * FROM appointments")) == 1
    rows = await rows_of(database, "SELECT ref, booking_ref FROM booking_refs")
    assert {(row["ref"], row["booking_ref"]) for row in rows} == {
        (here.booking_ref, here.booking_ref),
        (there.booking_ref, here.booking_ref),
    }


async def test_a_cancel_by_an_alias_is_sent_on_to_the_booking(database: Database, hold: Hold) -> None:
    first, second = clinics(2, endpoint=REST)
    await seeded(database, [first, second])
    here, there = book(first, "same key"), book(second, "same key")
    await hold(appended(here))
    outcome = await hold(appended(there, cancel(there), partition=1))
    (forwarded,) = outcome.forwarded
    assert isinstance(forwarded, Cancel)
    assert (forwarded.clinic_id, forwarded.booking_ref) == (first.clinic_id, here.booking_ref)
    assert len(await rows_of(database, "SELECT FROM appointments")) == 1
    await hold(appended(forwarded, first_offset=1))
    (row,) = await rows_of(database, "SELECT status FROM appointments")
    assert row["status"] == "cancelled"


async def test_another_body_under_the_same_key_shows_in_the_history_once(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    first = book(clinic, "key")
    other = book(clinic, "key", start_at=tomorrow(12), body_hash=b"another body....")
    items = appended(first, other)
    await hold(items)
    await hold(items)
    events = [row["event"] for row in await rows_of(database, "SELECT event FROM appointment_events ORDER BY seq")]
    assert events == ["booking.accepted", "booking.held", "booking.repeated"]


async def test_a_retry_after_the_ref_secret_was_rotated_leads_to_the_first_booking(
    database: Database, hold: Hold
) -> None:
    (clinic,) = clinics(1, endpoint=REST)
    await seeded(database, [clinic])
    first = book(clinic, "key")
    after = book(clinic, "key", booking_ref=RefSecrets(b"the next secret, 32 bytes long..").derive("0001", APP, "key"))
    await hold(appended(first))
    outcome = await hold(appended(after, first_offset=1))
    assert not outcome.due
    (alias,) = await rows_of(database, "SELECT ref, booking_ref FROM booking_refs WHERE ref <> booking_ref")
    assert (alias["ref"], alias["booking_ref"]) == (after.booking_ref, first.booking_ref)
