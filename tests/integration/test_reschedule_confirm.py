"""Another time for a booking that its clinic has: the clinic is asked, and its word counts, whatever crashes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stack import Kafka
from tests.support.commands import APP, appended, book, reschedule
from tests.support.confirming import Site, confirming, sites, until
from tests.support.database import Database
from tests.support.holding import Hold
from tests.support.running import running
from tests.support.world import settings_for, tomorrow
from waiting_room.messages import Reschedule, TimeRange
from waiting_room.store.journal import Booking
from waiting_room.store.pool import create_pool
from workers.assemble import Role


async def moved(database: Database, site: Site, booking: Booking, *, key: str = "move", **when: Any) -> None:
    """As a patient's wish comes in: hold takes it, and rings."""
    wish = reschedule(_book_of(booking), key, **when)
    pool = await create_pool(settings_for(database, None, "hold"), "hold")
    try:
        await Hold(pool)(appended(wish, first_offset=hash(key) % 1000))
    finally:
        await pool.close()
    await site.ring(booking)


def _book_of(booking: Booking) -> Any:
    return Reschedule(
        booking_ref=booking.booking_ref,
        clinic_id=booking.clinic_id,
        app_id=APP,
        key_hash=b"",
        requested_at=booking.accepted_at,
        accept_by=booking.accepted_at,
    )


async def test_it_moves_when_the_clinic_accepts(database: Database, fresh_kafka: Kafka) -> None:
    async with sites(database, fresh_kafka) as [site], confirming(site):
        (booking,) = await site.hold()
        await site.until_state("confirmed", "booked", booking)
        await moved(database, site, booking, start_at=tomorrow(20))
        await until_revision(site, booking, 2)
        row = await site.row(booking)
        assert (row["start_at"], row["moving_to"], row["claims"]) == (tomorrow(20), None, 1)
        records = [each for each in site.clinic.books.records() if each.effective_bookings]
        assert [(each.revision, each.start_at) for each in records] == [(2, tomorrow(20))]
        assert await site.attempts(booking) == [("confirm", "booked"), ("move", "booked")]


async def test_it_stays_where_it_is_when_the_clinic_refuses(database: Database, fresh_kafka: Kafka) -> None:
    async with sites(database, fresh_kafka) as [site], confirming(site):
        (booking,) = await site.hold()
        await site.until_state("confirmed", "booked", booking)
        site.change(refuse_rate=1.0)
        was = (await site.row(booking))["start_at"]
        await moved(database, site, booking, start_at=tomorrow(20))
        await until_ended(database, booking, "failed")
        row = await site.row(booking)
        assert (row["status"], row["clinic_state"], row["revision"], row["start_at"]) == ("confirmed", "booked", 1, was)
        assert row["claims"] == 1
        # A later wish is a wish of its own.
        site.change(refuse_rate=0.0)
        await moved(database, site, booking, key="again", start_at=tomorrow(21))
        await until_revision(site, booking, 3)


@pytest.mark.parametrize("fault", [{"drop_rate": 1.0}, {"error_rate": 1.0}], ids=["answer lost", "clinic failed"])
async def test_an_ambiguous_move_is_looked_up_and_done_once(
    fault: dict[str, float], database: Database, fresh_kafka: Kafka
) -> None:
    async with sites(database, fresh_kafka) as [site], confirming(site):
        (booking,) = await site.hold()
        await site.until_state("confirmed", "booked", booking)
        site.change(**fault)
        await moved(database, site, booking, start_at=tomorrow(20))
        await until_attempt(site, booking, ("move", "outcome_unknown"))
        site.change(drop_rate=0.0, error_rate=0.0)
        await until_revision(site, booking, 2)
        record = site.clinic.books.newest(booking.booking_ref)
        assert record is not None
        assert (record.revision, record.times_accepted) == (2, 1)


async def test_a_cancel_while_it_is_moved_leaves_nothing_at_the_clinic(database: Database, fresh_kafka: Kafka) -> None:
    async with sites(database, fresh_kafka) as [site], confirming(site):
        (booking,) = await site.hold()
        await site.until_state("confirmed", "booked", booking)
        site.change(latency_mean=0.6, latency_sigma=0.0, latency_max=0.9)
        await moved(database, site, booking, start_at=tomorrow(20))
        await until(lambda: _asked_to_move(site, booking))  # in the middle of it, where a look does not take so long
        await site.cancel(booking)
        await site.until_state("cancelled", "none", booking)
        assert not [each for each in site.clinic.books.records() if each.effective_bookings]
        assert (await site.row(booking))["claims"] == 0


async def test_the_wish_is_given_up_when_its_clinic_is_not_heard_of_in_time(
    database: Database, fresh_kafka: Kafka
) -> None:
    async with sites(database, fresh_kafka) as [site]:
        (booking,) = await site.hold()
        async with confirming(site):
            await site.until_state("confirmed", "booked", booking)
        await moved(database, site, booking, start_at=tomorrow(20))
        async with database.owner() as owner:
            await owner.execute("UPDATE reschedules SET move_until = now()")
        calls = site.calls
        async with confirming(site):
            await until_ended(database, booking, "failed")
        row = await site.row(booking)
        assert (row["status"], row["clinic_state"], row["claims"]) == ("confirmed", "booked", 1)
        assert site.calls == calls


async def test_who_named_a_range_gets_the_next_slot_when_the_clinic_says_that_one_is_gone(
    database: Database, fresh_kafka: Kafka
) -> None:
    gone = {"refuse_rate": 1.0, "refuse_reason": "slot_taken"}
    async with (
        sites(database, fresh_kafka, behaviour=gone) as [site],
        running(Role.HOLD, settings_for(database, fresh_kafka)),
        confirming(site),
    ):
        flexible = book(site.spec, "range", range=TimeRange(tomorrow(0), tomorrow(12)))
        short = book(site.spec, "short", range=TimeRange(tomorrow(15), tomorrow(15, 30)))
        exact = book(site.spec, "exact", start_at=tomorrow(13))
        pool = await create_pool(settings_for(database, None, "hold"), "hold")
        try:
            outcome = await Hold(pool)(appended(flexible, short, exact))
        finally:
            await pool.close()
        mine, other, third = outcome.due
        await site.ring(*outcome.due)
        await site.until_state("rejected", "none", other, third)
        assert (await site.row(third))["reason"] == "slot_taken"
        await until_attempt(site, mine, ("confirm", "refused"))
        site.change(refuse_rate=0.0)
        await site.until_state("confirmed", "booked", mine)
        row = await site.row(mine)
        assert row["start_at"] > tomorrow(0)
        assert (row["revision"] > 1, row["claims"]) == (True, 1)
        assert [each.start_at for each in site.clinic.books.records()] == [row["start_at"]]


async def until_revision(site: Site, booking: Booking, revision: int) -> None:
    async def there() -> bool:
        row = await site.row(booking)
        return bool(row["revision"] == revision and row["clinic_state"] == "booked")

    await until(there)


async def _asked_to_move(site: Site, booking: Booking) -> bool:
    return "move" in [kind for kind, _ in await site.attempts(booking)]


async def until_attempt(site: Site, booking: Booking, attempt: tuple[str, str | None]) -> None:
    async def there() -> bool:
        return attempt in await site.attempts(booking)

    await until(there)


async def until_ended(database: Database, booking: Booking, outcome: str) -> None:
    async def so() -> bool:
        async with database.owner() as owner:
            found = await owner.fetchval(
                "SELECT outcome FROM reschedules WHERE booking_ref = $1 ORDER BY revision DESC LIMIT 1",
                booking.booking_ref,
            )
        return bool(found == outcome)

    await until(so)
