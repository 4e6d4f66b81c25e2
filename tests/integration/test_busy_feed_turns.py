"""Whose it is to store what a calendar says, and under which key its address is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from tests.support.calendar_server import CalendarServer, busy_at, calendar, publishing
from tests.support.database import Database
from tests.support.holding import rows_of
from tests.support.log import until
from tests.support.world import MASTER_KEY, clinics, seed, settings_for, tomorrow
from waiting_room.domain.addresses import networks_of
from waiting_room.domain.busy_feeds import Seen
from waiting_room.envelope import Envelope, master_key
from waiting_room.ics import Span
from waiting_room.store import busy_feeds
from waiting_room.store.busy_feeds import Due
from waiting_room.store.pool import Pool, create_pool
from workers.busy_feeds.fetch import Fetcher
from workers.busy_feeds.reader import BusyFeeds

(SPEC,) = clinics(1)
PROVIDER = SPEC.provider_id
ENVELOPE = Envelope(master_key(MASTER_KEY))
MINUTE = 60.0


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """As sweep has it."""
    async with database.owner() as owner:
        await seed(owner, [SPEC])
    pool = await create_pool(settings_for(database, None, "sweep"), "sweep")
    try:
        yield pool
    finally:
        await pool.close()


async def put(database: Database, url: str = "https://calendar.example/", sealed: bytes | None = None) -> None:
    async with database.owner() as owner, owner.transaction():
        sealed = ENVELOPE.seal(url.encode(), busy_feeds.about(PROVIDER)) if sealed is None else sealed
        await busy_feeds.put(owner, SPEC.clinic_id, PROVIDER, sealed, "calendar.example")


async def claim(pool: Pool, lease_seconds: float = MINUTE) -> list[Due]:
    async with pool.acquire() as conn:
        return await busy_feeds.claim(conn, 10, lease_seconds, MINUTE)


async def stored(pool: Pool, due: Due, *hours: int, etag: str | None = None) -> bool:
    spans = [Span(str(hour), tomorrow(hour), tomorrow(hour) + timedelta(hours=1)) for hour in hours]
    async with pool.acquire() as conn, conn.transaction():
        return await busy_feeds.store(conn, due, spans, Seen(etag, None, b"d"), 0.0) is not None


async def busy(database: Database) -> Sequence[str]:
    return [row["busy_id"] for row in await rows_of(database, "SELECT busy_id FROM busy_times ORDER BY busy_id")]


async def test_only_whose_turn_it_is_stores_what_it_says(database: Database, pool: Pool) -> None:
    await put(database)
    (slow,) = await claim(pool, 0.0)
    (fast,) = await claim(pool)
    assert await claim(pool) == [], "one reads at a time"
    assert await stored(pool, fast, 9, 10, etag='"1"')
    assert not await stored(pool, slow, 11), "what it says is older"
    async with pool.acquire() as conn:
        await busy_feeds.failed(conn, slow, "It took too long.", MINUTE)
    assert await busy(database) == ["10", "9"]
    (again,) = await claim(pool)
    assert (again.failures, again.seen) == (0, Seen('"1"', None, b"d"))
    await put(database, "https://other.example/")
    assert not await stored(pool, again, 12), "it is another calendar now"
    (other,) = await claim(pool)
    assert other.seen == Seen(), "which is read from its beginning"
    assert await busy(database) == ["10", "9"], "and until then what is known stands"
    assert await stored(pool, other, 12)
    assert await busy(database) == ["12"]


async def test_an_address_is_sealed_anew_under_another_key(database: Database, pool: Pool) -> None:
    await put(database)
    new = master_key("another master key of so many characters")
    async with database.owner() as owner:
        both = Envelope(new, [master_key(MASTER_KEY)])
        assert [await busy_feeds.reseal(owner, both) for _ in range(2)] == [1, 0]
    (due,) = await claim(pool)
    assert Envelope(new).open(due.sealed, busy_feeds.about(PROVIDER)) == b"https://calendar.example/"


async def test_one_that_cannot_be_opened_or_never_answers_holds_up_no_other(database: Database, pool: Pool) -> None:
    """And whoever stops meanwhile leaves nothing open behind."""
    settings = settings_for(database, None, "sweep", busy_feed_seconds=0.1)
    finish = asyncio.Event()
    async with (
        publishing(CalendarServer(calendar(busy_at(tomorrow(9))))) as server,
        Fetcher(MINUTE, 1_000_000, networks_of("127.0.0.0/8")) as fetcher,
    ):
        reading = asyncio.create_task(BusyFeeds(settings, pool, fetcher, ENVELOPE).run(finish))
        await put(database, sealed=b"\x01nonsense")
        await until(lambda: _says(database, "Its address cannot be opened here: put it again."))
        server.hang = True
        await put(database, server.url)
        await until(lambda: _was_asked(server))
        finish.set()
        await reading
        assert await busy(database) == []

        server.hang = False
        await put(database, server.url)
        finish.clear()
        reading = asyncio.create_task(BusyFeeds(settings, pool, fetcher, ENVELOPE).run(finish))
        await until(lambda: _says(database, None))
        finish.set()
        await reading
    assert len(await busy(database)) == 1


async def _says(database: Database, error: str | None) -> bool:
    rows = await rows_of(database, "SELECT error, read_at FROM busy_feeds")
    return [row["error"] for row in rows] == [error] and (error is not None or rows[0]["read_at"] is not None)


async def _was_asked(server: CalendarServer) -> bool:
    return bool(server.asked)
