"""``directory move`` as an operator runs it: what it says, what it refuses, what it waits for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import msgspec
import pytest

from tests.stack import Kafka
from tests.support.cli import Said, waiting_room
from tests.support.database import Database
from tests.support.log import append, everything_in
from tests.support.onboarding import clinic, file_of
from tests.support.running import running
from tests.support.world import settings_for
from waiting_room.messages import DirectoryEntry, MapReport, Reader, encode
from waiting_room.store import directory
from waiting_room.store.moves import Move
from waiting_room.topics import BOOKING_REQUESTS, CLINIC_DIRECTORY, CLINIC_PULSE
from workers.assemble import Role
from workers.hold.read import Marker, item_of

_entry: Reader[DirectoryEntry] = Reader(DirectoryEntry)


@dataclass
class World:
    """Clinic 0001 in partition 0."""

    database: Database
    kafka: Kafka
    owner: asyncpg.Connection[asyncpg.Record]

    async def move(self, *arguments: str, kafka: bool = True, **settings: str) -> Said:
        return await waiting_room(
            "directory", "move", *arguments, database=self.database, kafka=self.kafka if kafka else None, **settings
        )

    async def impatiently(self, what: str, *arguments: str) -> Said:
        """With little time, and more as often as it ran out before this is what it waited for; it goes on each time."""
        for seconds in (2, 4, 8, 16, 32):
            said = await self.move(*arguments, "--wait", f"{seconds}")
            if said.err.startswith(f"clinic {arguments[0]} is not moved: {what} for {seconds} s; "):
                return said
        raise AssertionError(said)

    async def rules_version(self) -> int:
        return int(await self.owner.fetchval("SELECT rules_version FROM clinic_counters WHERE clinic_id = '0001'"))


@pytest.fixture
async def world(database: Database, fresh_kafka: Kafka) -> AsyncIterator[World]:
    async with database.owner() as owner:
        async with owner.transaction():
            await directory.import_file(owner, file_of([clinic(1), clinic(2)]), 4)
        yield World(database, fresh_kafka, owner)


async def test_what_cannot_be_done_is_refused_and_changes_nothing(world: World) -> None:
    for arguments, complaint in (
        (("ZZZZ", "1"), "there is no clinic ZZZZ"),
        (("0001", "4"), "partition 4 is not one of 0 to 3"),
    ):
        said = await world.move(*arguments)
        assert (said.status, said.out, said.err) == (1, "", f"{complaint}\n")
    said = await world.move("0001", "1", kafka=False)
    assert said.status == 2
    assert said.err.startswith("Kafka at ")
    said = await world.move("0001", "1", kafka_clinic_partitions="9")
    assert (said.status, "booking.requests: 4 partitions, not 9" in said.err) == (1, True)
    assert not await world.owner.fetchval("SELECT count(*) FROM clinic_moves")
    assert await world.owner.fetchval("SELECT map_version FROM clinics WHERE clinic_id = '0001'") == 1


async def test_where_it_is_already_nothing_is_done_with_or_without_kafka(world: World) -> None:
    said = await world.move("0001", "0", kafka=False)
    assert (said.status, said.out, said.err) == (0, "clinic 0001 is on partition 0 already\n", "")


async def test_it_says_what_it_waits_for_and_goes_on_from_there(world: World) -> None:
    before = await world.rules_version()
    said = await world.impatiently("relay has not published the new map", "0001", "3")
    assert said.status == 2
    assert said.out == "clinic 0001: partition 0 to 3, map version 2\n"
    assert said.err.endswith(" s; run the command again, it goes on from there\n")
    assert await world.rules_version() == before + 1
    moved = (await directory.load(world.owner, ["0001"]))[0]
    assert (moved.partition, moved.map_version, moved.moved_from) == (3, 2, 0)
    async with running(Role.RELAY, settings_for(world.database, world.kafka, "relay")):
        said = await world.impatiently("hold has not read the marker in partition 0", "0001", "3")
        assert said.status == 2
        assert said.out.splitlines()[1:] == ["every ingress knows it (there is none)", "partition 0 has its marker"]
        async with running(Role.HOLD, settings_for(world.database, world.kafka)):
            said = await world.move("0001", "3")
        assert (said.status, said.err) == (0, "")
        assert said.out.splitlines()[-1].startswith("clinic 0001 is on partition 3 ")
    published = [_entry(record.value).clinic for record in await everything_in(world.kafka, CLINIC_DIRECTORY)]
    assert moved in published
    markers = [item_of(record) for record in await everything_in(world.kafka, BOOKING_REQUESTS)]
    assert [(each.partition, each.moved) for each in markers if isinstance(each, Marker)] == [
        (0, Move("0001", 2, 0, 3).marker)
    ] * len(markers)
    row = await world.owner.fetchrow("SELECT * FROM clinic_moves")
    assert row is not None
    assert row["started_at"] < row["marker_written_at"] < row["marker_read_at"]
    assert await world.rules_version() == before + 2


async def test_an_ingress_that_does_not_report_is_named(world: World) -> None:
    golden = MapReport(worker_id="ingress-7", at=(await world.owner.fetchval("SELECT now()")), directory_offset=0)
    old = msgspec.structs.replace(golden, worker_id="gone", at=golden.at.replace(year=2020))
    for each in (old, golden):
        await append(world.kafka, CLINIC_PULSE, 0, each.worker_id, encode(each))
    async with running(Role.RELAY, settings_for(world.database, world.kafka, "relay")):
        said = await world.impatiently("ingress-7 has not reported the new map", "0001", "3")
    assert (said.status, said.out.splitlines()[-1]) == (2, "waiting for ingress-7 to know it")


async def test_reports_nobody_here_can_read_are_not_guessed_at(world: World) -> None:
    await append(world.kafka, CLINIC_PULSE, 0, "ingress-9", b'{"type": "map_report", "v": 9}')
    async with running(Role.RELAY, settings_for(world.database, world.kafka, "relay")):
        said = await world.move("0001", "3")
    assert said.status == 2
    assert "what ingress-9 told in clinic.pulse is unreadable to this version" in said.err
