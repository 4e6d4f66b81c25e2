"""An ingress learns that a clinic moved: where it appends from then on, what it reports, where it looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest

from devstack.processes import Process
from tests.stack import Kafka
from tests.support.commands import APP, REFS, book
from tests.support.database import Database
from tests.support.ingress import Caller, Stage, announce, ingress_process, staged, wish
from tests.support.log import append, everything_in, until
from tests.support.world import clinics
from waiting_room.messages import Book, Command, DirectoryEntry, MapReport, PulseRecord, Reader, encode
from waiting_room.store import directory
from waiting_room.topics import BOOKING_REQUESTS, CLINIC_DIRECTORY, CLINIC_PULSE

SPECS = clinics(3)
_command: Reader[Command] = Reader(Command)
_pulse: Reader[PulseRecord] = Reader(PulseRecord)


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
        yield stage


@pytest.fixture(scope="module")
async def process(stage: Stage) -> AsyncIterator[tuple[str, Process]]:
    async with ingress_process(stage.kafka, stage.database) as found:
        yield found


@pytest.fixture(scope="module")
async def app(stage: Stage, process: tuple[str, Process]) -> AsyncIterator[Caller]:
    async with Caller(process[0], stage.token) as caller:
        yield caller


async def tell_of_a_move(stage: Stage, clinic_id: str, partition: int) -> None:
    async with stage.database.owner() as owner:
        [clinic] = await directory.load(owner, [clinic_id])
    moved = msgspec.structs.replace(clinic, partition=partition, map_version=2, moved_from=clinic.partition)
    await announce(stage.kafka, [DirectoryEntry(clinic=moved)])


async def partition_of(stage: Stage, ref: str) -> int:
    for record in await everything_in(stage.kafka, BOOKING_REQUESTS):
        command = _command(record.value)
        if isinstance(command, Book) and command.booking_ref == ref:
            return int(record.partition)
    raise LookupError(ref)


async def reported(stage: Stage) -> tuple[int, int]:
    """The last report's own offset, and that of the directory that it knows; those before it may be compacted away."""
    told = [(each.offset, _pulse(each.value)) for each in await everything_in(stage.kafka, CLINIC_PULSE)]
    offset, last = [(offset, each) for offset, each in told if isinstance(each, MapReport)][-1]
    return int(offset), last.directory_offset


async def test_it_reports_the_new_map_and_appends_by_it(stage: Stage, app: Caller) -> None:
    end = int((await everything_in(stage.kafka, CLINIC_DIRECTORY))[-1].offset) + 1
    assert (await reported(stage))[1] == end
    first = await app.book(str(uuid4()), wish())
    assert await partition_of(stage, first.body["booking_ref"]) == SPECS[0].partition
    await tell_of_a_move(stage, "0001", 0)

    async def knows() -> bool:
        return (await reported(stage))[1] == end + 1

    await until(knows)
    second = await app.book(str(uuid4()), wish())
    assert await partition_of(stage, second.body["booking_ref"]) == 0


async def test_a_booking_accepted_before_the_move_is_looked_for_where_the_clinic_was(stage: Stage, app: Caller) -> None:
    """By another ingress; hold has not come to it."""
    command = book(SPECS[1], "elsewhere")
    await append(stage.kafka, BOOKING_REQUESTS, SPECS[1].partition, "0002", encode(command))
    await tell_of_a_move(stage, "0002", 0)

    async def is_there() -> bool:
        return (await app.book(str(uuid4()), wish("0002-1"))).status == 202 and 0 in {
            record.partition for record in await everything_in(stage.kafka, BOOKING_REQUESTS) if record.key == b"0002"
        }

    await until(is_there)
    found = await app.get(f"/v1/appointments/{command.booking_ref}")
    assert (found.status, found.body["status"], found.body["stage"]) == (200, "pending", "accepted")
    nowhere = await app.get(f"/v1/appointments/{REFS.derive('0003', APP, 'never')}")
    assert nowhere.status == 404


async def test_thawed_after_long_it_asks_before_it_accepts(
    stage: Stage, app: Caller, process: tuple[str, Process]
) -> None:
    _, frozen = process
    before, _ = await reported(stage)
    frozen.freeze()
    try:
        await asyncio.sleep(11)  # its lease is over
        waiting = [asyncio.create_task(app.book(str(uuid4()), wish("0003-1"))) for _ in range(3)]
        await tell_of_a_move(stage, "0003", 0)
    finally:
        frozen.thaw()
    for answer in await asyncio.gather(*waiting):
        if answer.status == 202:  # it had asked by then
            assert await partition_of(stage, answer.body["booking_ref"]) == 0
        else:
            assert (answer.status, answer.body["type"]) == (503, "/problems/not-ready")
            assert (answer.body["outcome"], answer.headers["Retry-After"]) == ("none", "1")
    async with asyncio.timeout(60):
        while (await app.get("/readyz")).status != 200:
            await asyncio.sleep(0.05)
    answer = await app.book(str(uuid4()), wish("0003-1"))
    assert await partition_of(stage, answer.body["booking_ref"]) == 0
    assert (await reported(stage))[0] > before
