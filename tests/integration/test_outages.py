"""While a clinic is down what waits there may wait longer; and only there, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.stack import Kafka
from tests.support.confirming import confirming, sites, until
from tests.support.database import Database
from tests.support.running import running
from tests.support.world import clinics, seed, settings_for
from tests.support.written import HELD, plant
from waiting_room.kafka import Consumer
from waiting_room.store import outages
from waiting_room.store.pool import Pool, create_pool
from workers.assemble import Role
from workers.sweep.extend import AHEAD_SECONDS, extend

REST = "http://127.0.0.1:9/clinics"


@pytest.fixture
async def sweep(database: Database, fresh_kafka: Kafka) -> AsyncIterator[Pool]:
    pool = await create_pool(settings_for(database, fresh_kafka, "sweep"), "sweep")
    try:
        yield pool
    finally:
        await pool.close()


async def test_holds_of_a_clinic_that_is_down_are_extended_and_no_others(database: Database, sweep: Pool) -> None:
    down, up, forgotten = clinics(3, endpoint=REST)
    soon = datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS)
    over = datetime.now(UTC) - timedelta(seconds=1)
    async with database.owner() as owner:
        await seed(owner, [down, up, forgotten])
        waits = await plant(owner, down, 1, HELD, hold_until=soon)
        waits_elsewhere = await plant(owner, up, 1, HELD, hold_until=soon)
        too_late = await plant(owner, down, 2, HELD, hold_until=over)
        old_news = await plant(owner, forgotten, 1, HELD, hold_until=soon)
        decide_by = datetime.now(UTC) + timedelta(hours=5)
        await owner.execute("UPDATE appointments SET decide_by = $1", decide_by)
        await outages.say(owner, [down.clinic_id, forgotten.clinic_id])
        await owner.execute(
            "UPDATE clinic_outages SET seen_at = now() - interval '1 minute' WHERE clinic_id = $1", forgotten.clinic_id
        )
        assert await extend(sweep) == 1
        assert await extend(sweep) == 0, "there is no more to give"
        until_at = {
            row["booking_ref"]: row["hold_until"]
            for row in await owner.fetch("SELECT booking_ref, hold_until FROM appointments")
        }
    assert until_at == {
        waits.booking_ref: decide_by,
        waits_elsewhere.booking_ref: soon,
        too_late.booking_ref: over,
        old_news.booking_ref: soon,
    }


async def test_since_when_a_clinic_is_down_is_kept_until_it_is_up_again(database: Database) -> None:
    (spec,) = clinics(1, endpoint=REST)
    async with database.owner() as owner:
        await seed(owner, [spec])
        await outages.say(owner, [spec.clinic_id])
        since = await owner.fetchval("SELECT since FROM clinic_outages")
        await outages.say(owner, [spec.clinic_id])
        assert await owner.fetchval("SELECT since FROM clinic_outages") == since
        await outages.end(owner, [spec.clinic_id])
        assert await owner.fetchval("SELECT count(*) FROM clinic_outages") == 0


async def test_what_confirm_finds_down_sweep_lets_wait_until_it_is_up_again(
    database: Database, fresh_kafka: Kafka
) -> None:
    async with sites(database, fresh_kafka) as (site,), database.owner() as owner:
        site.change(down="503", retry_after=0)
        soon = datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS)
        bookings = await site.hold(8, hold_until=soon)
        await owner.execute("UPDATE appointments SET decide_by = now() + interval '1 hour'")
        settings = settings_for(database, fresh_kafka, "sweep", sweep_every_seconds=0.1)
        async with confirming(site), running(Role.SWEEP, settings):

            async def all_extended() -> bool:
                return not await owner.fetchval("SELECT count(*) FROM appointments WHERE hold_until < decide_by")

            await until(all_extended)
            site.change(down=None)
            # Its breaker may be open for long by then.
            await site.until_state("confirmed", "booked", *bookings, seconds=90)

            async def over() -> bool:
                return not await owner.fetchval("SELECT count(*) FROM clinic_outages")

            await until(over)


async def test_a_clinic_is_said_to_be_down_while_kafka_is_away(
    database: Database, fresh_kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Confirm waited until it could commit, and what waited at the clinic ran out meanwhile."""
    asked, back = asyncio.Event(), asyncio.Event()

    async def commit(*_: object) -> None:
        asked.set()
        await back.wait()

    monkeypatch.setattr(Consumer, "commit", commit)
    async with sites(database, fresh_kafka) as (site,), database.owner() as owner:
        site.change(down="503", retry_after=0)
        async with confirming(site):
            await site.append(b"nothing that rings")
            await asyncio.wait_for(asked.wait(), 60)
            await site.hold(8)

            async def said() -> bool:
                return bool(await owner.fetchval("SELECT count(*) FROM clinic_outages"))

            await until(said)
            back.set()
