"""A clinic that tells of its changes wrongly, slowly, or ever anew: nobody else hears of its own less often for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import asyncpg
import pytest

from clinic_adapter.transport import Transport
from tests.support.confirming import until
from tests.support.database import Database
from tests.support.holding import rows_of
from tests.support.world import clinics, seed, settings_for
from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.domain.clinic_changes import Changes
from waiting_room.store.pool import create_pool
from workers.confirm import changes
from workers.confirm.changes import ClinicChanges

Tell = Callable[[str | None], Awaitable[Changes | None]]


class Told:
    """A clinic's system that answers with ``tell``."""

    def __init__(self, tell: Tell) -> None:
        self.changes = tell


@asynccontextmanager
async def asked(
    database: Database, monkeypatch: pytest.MonkeyPatch, *tells: Tell, every_seconds: float = 0.01
) -> AsyncIterator[asyncio.Task[None]]:
    """Clinics that tell so, and somebody who asks them."""
    specs = clinics(len(tells), endpoint="http://127.0.0.1:9", reports_changes=True)
    async with database.owner() as owner:
        await seed(owner, specs)
    by_clinic = {spec.clinic_id: Told(tell) for spec, tell in zip(specs, tells, strict=True)}

    def gateway_to(system: ClinicSystem, _: object) -> Told:
        return by_clinic[system.clinic_id]

    monkeypatch.setattr(changes, "gateway_to", gateway_to)
    pool = await create_pool(settings_for(database, None, "confirm"), "confirm")
    finish = asyncio.Event()
    asking = ClinicChanges(pool, cast(Transport, None), every_seconds, 1.0)
    task = asyncio.create_task(asking.run(finish))
    try:
        yield task
        finish.set()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pool.close()


async def nothing(_: str | None) -> Changes:
    return Changes(cursor="1")


async def rows(database: Database) -> list[asyncpg.Record]:
    """What is known of each clinic's telling."""
    found: list[asyncpg.Record] = await rows_of(
        database,
        "SELECT mark, failures, read_at, next_at > now() + interval '20 seconds' AS rests"
        " FROM clinic_changes ORDER BY clinic_id",
    )
    return found


@pytest.mark.parametrize("said", [Changes(cursor="1\0"), Changes(cursor="1", gone=("a\0",))], ids=["a cursor", "an id"])
async def test_what_cannot_be_stored_is_that_clinics_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch, said: Changes
) -> None:
    """JSON may hold what PostgreSQL does not: confirm died of it, with all its clinics, each time it was asked for."""

    async def nonsense(_: str | None) -> Changes:
        return said

    async def told() -> bool:
        found = await rows(database)
        return len(found) == 2 and found[0]["failures"] >= 2 and found[1]["read_at"] is not None

    async with asked(database, monkeypatch, nonsense, nothing) as task:
        await until(lambda: _unless_died(task, told))


async def test_nobody_waits_for_one_that_takes_long(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    times: Counter[str] = Counter()

    async def never(_: str | None) -> Changes:
        times["never"] += 1
        await asyncio.Event().wait()
        raise AssertionError

    async def quickly(_: str | None) -> Changes:
        times["quickly"] += 1
        return await nothing(_)

    async with asked(database, monkeypatch, never, quickly):
        await until(lambda: times["quickly"] >= 3)
    assert times["never"] == 1, "it is asked by one at a time"


async def test_who_does_not_know_what_it_has_just_said_is_not_asked_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgetful(after: str | None) -> Changes | None:
        return Changes(cursor="1", more=True) if after is None else None

    async def failed() -> bool:
        return [row["failures"] for row in await rows(database)] == [1]

    async with asked(database, monkeypatch, forgetful, every_seconds=30.0):
        await until(failed)
    (row,) = await rows(database)
    assert row["rests"]


async def _unless_died(task: asyncio.Task[None], check: Callable[[], Awaitable[bool]]) -> bool:
    if task.done():
        task.result()
    return await check()
