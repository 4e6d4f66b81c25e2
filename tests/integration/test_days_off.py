"""A business's own days off: onboarded with it, known to each of its providers, replaced as a whole."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.database import Database
from tests.support.onboarding import SERVICE, clinic, file_of
from waiting_room.domain.schedule import provider_day_starts
from waiting_room.store import directory, holds
from waiting_room.store.pool import Connection

TIMEZONE = "Europe/Berlin"


async def import_(owner: Connection, **business: Any) -> tuple[str, ...]:
    """The clinics that changed."""
    async with owner.transaction():
        done = await directory.import_file(owner, file_of([clinic(1), clinic(2)], **business), 4)
    return done.clinics


async def test_days_off_come_and_go_with_the_file(database: Database) -> None:
    today = (await _today(database)) + timedelta(days=1)
    eve, day = ({"day": str(today + timedelta(days=number)), "name": "Closed"} for number in (30, 31))

    async def closed(owner: Connection) -> list[bool]:
        rules = (await holds.load_rules(owner, ["0001"]))["0001"]
        provider = rules.providers["0001-1"]
        return [
            not provider_day_starts(provider, 20, rules.timezone, today + timedelta(days=number)) for number in (30, 31)
        ]

    async with database.owner() as owner:
        assert await import_(owner, days_off=[eve, day]) == ("0001", "0002")
        assert await closed(owner) == [True, True]
        assert await import_(owner, days_off=[eve, day]) == ()
        assert await import_(owner) == ()
        assert await closed(owner) == [True, True]
        assert await import_(owner, days_off=[day]) == ("0001", "0002")
        assert await closed(owner) == [False, True]
        loaded = await directory.load(owner, ["0002"])
        assert loaded[0].providers[0].days_off == (today + timedelta(days=31),)


async def test_what_a_service_is_is_told_in_words(database: Database) -> None:
    async with database.owner() as owner:
        await import_(owner)
        described = {**SERVICE, "description": "A look from head to tail."}
        assert await import_(owner, service_types=[described]) == ("0001", "0002")
        (service,) = (await directory.load(owner, ["0001"]))[0].service_types
        assert service.description == "A look from head to tail."


async def _today(database: Database) -> date:
    async with database.owner() as owner:
        now = await owner.fetchval("SELECT now()")
    today: date = now.astimezone(ZoneInfo(TIMEZONE)).date()
    return today
