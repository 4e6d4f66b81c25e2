"""Whether a patient may have a service is found out before the clinic is asked: on real Kafka and PostgreSQL, with the
clinic and the system that knows on sockets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from loadtest.eligibility.system import EligibilitySystem, Mood
from loadtest.httpserver import listening
from tests.stack import Kafka
from tests.support.commands import appended, book
from tests.support.confirming import Site, confirming, sites, until
from tests.support.database import Database
from tests.support.holding import Hold
from tests.support.running import running
from tests.support.world import SERVICE, settings_for
from tests.support.written import VERIFYING
from waiting_room.settings import Settings
from waiting_room.store.journal import Booking
from waiting_room.store.pool import create_pool
from workers.assemble import Role
from workers.sweep.expire import expire

TOKEN = "a token"


class Asking:
    """One clinic whose service asks, and the system that is asked."""

    def __init__(self, site: Site, kafka: Kafka, system: EligibilitySystem, settings: dict[str, Any]) -> None:
        self.site, self.kafka, self.system, self._settings = site, kafka, system, settings

    @asynccontextmanager
    async def confirming(self, **overrides: Any) -> AsyncIterator[None]:
        async with confirming(self.site, **{**self._settings, **overrides}):
            yield

    def sweep_settings(self) -> Settings:
        quick = {"sweep_every_seconds": 0.1, "sweep_ring_after_seconds": 0.1}
        return settings_for(self.site.database, self.kafka, "sweep", **quick)

    async def events(self, booking: Booking) -> list[str]:
        async with self.site.database.owner() as owner:
            rows = await owner.fetch(
                "SELECT event FROM appointment_events WHERE booking_ref = $1 ORDER BY seq", booking.booking_ref
            )
        return [row["event"].removeprefix("booking.") for row in rows]

    async def waits(self, booking: Booking) -> bool:
        row = await self.site.row(booking)
        return bool(row["stage"] == "verifying" and row["next_attempt_at"])


@pytest.fixture
async def world(database: Database, fresh_kafka: Kafka) -> AsyncIterator[Asking]:
    system = EligibilitySystem(Mood(), TOKEN)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(listening(system.handle, 0))
        (site,) = await stack.enter_async_context(sites(database, fresh_kafka))
        settings = {
            "eligibility_url": f"http://127.0.0.1:{port}",
            "eligibility_token": SecretStr(TOKEN),
            "eligibility_call_seconds": 10.0,
        }
        await asks(database, "fail_closed")
        yield Asking(site, fresh_kafka, system, settings)


async def asks(database: Database, how: str) -> None:
    async with database.owner() as owner:
        await owner.execute("UPDATE service_types SET eligibility = $1 WHERE service_type = $2", how, SERVICE)


async def test_who_may_have_it_is_confirmed_and_who_may_not_is_not_asked_for(world: Asking) -> None:
    world.system.refused.add("somebody")
    (booking,) = await world.site.hold(events=VERIFYING)
    (other,) = await world.site.hold(events=VERIFYING, patient={"id": "somebody"})
    async with world.confirming():
        await world.site.until_state("confirmed", "booked", booking)
        await world.site.until_state("rejected", "none", other)
    assert await world.events(booking) == ["accepted", "held", "verifying", "verified", "calling", "confirmed"]
    row = await world.site.row(other)
    assert (row["reason"], row["claims"], row["attempts"]) == ("not_eligible", 0, 0)
    assert list(world.site.records()) == [booking.booking_ref]
    assert await world.site.attempts(booking) == [("confirm", "booked")], "asking spends none"


async def test_a_booking_whose_patient_cannot_be_read_is_rejected_and_its_seat_comes_free(world: Asking) -> None:
    (booking,) = await world.site.hold(events=VERIFYING)
    async with world.site.database.owner() as owner:
        await owner.execute("UPDATE appointments SET patient = NULL")
    async with world.confirming():
        await world.site.until_state("rejected", "none", booking)
    row = await world.site.row(booking)
    assert (row["reason"], row["claims"], row["attempts"]) == ("unprocessable", 0, 0)
    assert (world.site.calls, world.system.stats.asked) == (0, 0)


async def test_an_answer_is_asked_for_once_a_patient_and_service(world: Asking) -> None:
    (first,) = await world.site.hold(events=VERIFYING)
    async with world.confirming():
        await world.site.until_state("confirmed", "booked", first)
        later = await world.site.hold(2, events=VERIFYING)
        await world.site.until_state("confirmed", "booked", *later)
    assert world.system.stats.asked == 1


async def test_where_it_fails_open_an_outage_is_in_the_history_and_in_nobodys_way(world: Asking) -> None:
    await asks(world.site.database, "fail_open")
    world.system.change(down="503")
    bookings = await world.site.hold(3, events=VERIFYING)
    async with world.confirming():
        await world.site.until_state("confirmed", "booked", *bookings)
    for booking in bookings:
        assert "not_verified" in await world.events(booking)


async def test_where_it_fails_closed_bookings_wait_alone_and_go_on_when_it_is_back(world: Asking) -> None:
    world.system.change(down="hang")
    waiting = await world.site.hold(6, events=VERIFYING)
    others = await world.site.hold(6)  # of a service that does not ask
    async with world.site.database.owner() as owner:
        await owner.execute("UPDATE appointments SET hold_until = now() + interval '1 h', decide_by = start_at")
    async with world.confirming(eligibility_call_seconds=0.3):
        await world.site.until_state("confirmed", "booked", *others)
        for booking in waiting:
            await until(lambda booking=booking: world.waits(booking))  # type: ignore[misc]
            row = await world.site.row(booking)
            assert row["hold_until"] == row["decide_by"], "the time of an outage"
            assert (row["attempts"], row["claims"]) == (0, 1)
        assert len(world.site.records()) == len(others)
        world.system.change(down=None)
        async with running(Role.SWEEP, world.sweep_settings()):
            await world.site.until_state("confirmed", "booked", *waiting)
    assert await world.events(waiting[0]) == ["accepted", "held", "verifying", "verified", "calling", "confirmed"]


@pytest.mark.parametrize("noticed_by", ["confirm", "sweep"])
async def test_who_waits_past_the_deadline_is_told_so_and_seat_and_place_come_free(
    world: Asking, noticed_by: str
) -> None:
    world.system.change(down="503")
    past = datetime.now(UTC) - timedelta(seconds=1)
    (booking,) = await world.site.hold(events=VERIFYING, hold_until=past, ring=noticed_by == "confirm")
    if noticed_by == "confirm":
        async with world.confirming():
            await world.site.until_state("rejected", "none", booking)
    else:
        pool = await create_pool(settings_for(world.site.database, None, "sweep"), "sweep")
        assert await expire(pool) == 1
        await pool.close()
    row = await world.site.row(booking)
    assert (row["status"], row["reason"], row["claims"]) == ("rejected", "eligibility_unknown", 0)
    assert (world.site.calls, world.system.stats.asked) == (0, 0)


async def test_a_worker_that_ends_while_it_asks_leaves_nothing_undone_or_doubled(world: Asking) -> None:
    world.system.change(delay=5.0)
    (booking,) = await world.site.hold(events=VERIFYING)
    async with world.confirming(shutdown_seconds=0.05):
        await until(lambda: world.system.stats.asked == 1)
    assert (await world.site.row(booking))["stage"] == "verifying"
    world.system.change(delay=0.0)
    async with world.confirming():
        await world.site.until_state("confirmed", "booked", booking)
        await world.site.ring(booking)  # rung for again: found done
        await world.site.until_state("confirmed", "booked", booking)
    assert world.system.stats.asked == 2
    assert world.site.records()[booking.booking_ref].times_accepted == 1


async def test_a_cancel_while_it_is_asked_wins(world: Asking) -> None:
    world.system.change(delay=1.0)
    (booking,) = await world.site.hold(events=VERIFYING)
    async with world.confirming():
        await until(lambda: world.system.stats.asked == 1)
        await world.site.cancel(booking)
        (other,) = await world.site.hold()
        await world.site.until_state("confirmed", "booked", other)
    row = await world.site.row(booking)
    assert (row["status"], row["claims"]) == ("cancelled", 0)
    assert booking.booking_ref not in world.site.records()


async def test_where_the_platform_keeps_the_calendar_the_answer_decides(world: Asking) -> None:
    database = world.site.database
    async with database.owner() as owner:
        await owner.execute("UPDATE clinics SET adapter = 'builtin', endpoint = NULL")
    pool = await create_pool(settings_for(database, None, "hold"), "hold")
    outcome = await Hold(pool)(appended(book(world.site.spec, "key")))
    await pool.close()
    [booking] = outcome.due
    assert booking.known_state.stage == "verifying"
    await world.site.ring(booking)
    async with world.confirming():
        await world.site.until_state("confirmed", "none", booking)
    assert await world.events(booking) == ["accepted", "held", "verifying", "verified", "confirmed"]
    async with database.owner() as owner:
        assert await owner.fetchval("SELECT line FROM clinic_counters WHERE clinic_id = $1", booking.clinic_id) == 0
        assert await owner.fetchval("SELECT count(*) FROM patient_claims WHERE place IS NOT NULL") == 0
