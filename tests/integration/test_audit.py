"""The audit: a clean world passes, and each kind of offence that is planted is found and named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.stack import Kafka
from tests.support import planted, planted_archive, planted_waitlist, topics
from tests.support.archived import archive
from tests.support.audited import World, Worlds, worlds
from tests.support.cli import waiting_room
from tests.support.database import Database
from tests.support.planting import Plant
from tests.support.world import settings_for
from waiting_room.audit.log import HOLD_GROUP
from waiting_room.audit.offences import Kind
from waiting_room.audit.run import audit
from waiting_room.audit.verdict import Verdict
from waiting_room.store import sql
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold import worker

PLANTS = (*planted.PLANTS, *planted_archive.PLANTS, *planted_waitlist.PLANTS)


@pytest.fixture(scope="module")
async def made(template: Database, kafka: Kafka) -> AsyncIterator[Worlds]:
    """One log and two databases for all tests here; each plants in a copy."""
    await topics.recreate(kafka)
    async with worlds(template, kafka) as both:
        yield both


async def judge(world: World, folder: Path, *, settled: bool) -> Verdict:
    """As the role audit, which may only read."""
    connection = await asyncpg.connect(world.database.dsn("audit"))
    try:
        settings = settings_for(world.database, world.kafka, "audit")
        return await audit(connection, settings, world.sources(folder), settled=settled)
    finally:
        await connection.close()


async def test_a_world_at_rest_is_clean(made: Worlds, tmp_path: Path) -> None:
    verdict = await judge(made.resting, tmp_path, settled=True)
    assert verdict.clean, "\n".join(verdict.lines())
    assert verdict.looked_at["bookings"] == 22
    assert verdict.looked_at["records of booking.requests"] == 25
    assert verdict.looked_at["of them appended too late to count"] == 1


async def test_a_world_that_is_under_way_is_clean_and_not_at_rest(made: Worlds, tmp_path: Path) -> None:
    verdict = await judge(made.busy, tmp_path, settled=False)
    assert verdict.clean, "\n".join(verdict.lines())
    verdict = await judge(made.busy, tmp_path, settled=True)
    assert {Kind.UNSETTLED, Kind.WEBHOOK_MISSING, Kind.CLINIC_UNWANTED} == set(verdict.wrong)
    unsettled = {offence.booking_ref for offence in verdict.offences if offence.kind is Kind.UNSETTLED}
    waiting = ("held", "calling", "unknown", "withdrawing", "beside", "last")
    assert {made.busy.refs[name] for name in waiting} <= unsettled


_WAIT_FOR_NOTHING = """
SELECT app_id, patient_id FROM patient_keys AS k WHERE NOT EXISTS (
    SELECT FROM appointments AS a
    WHERE a.app_id = k.app_id AND a.patient_id = k.patient_id AND a.status IN ('pending', 'waitlisted')
)
"""
"""Nobody else is ever forgotten."""
_KNOWN_STILL = "SELECT DISTINCT status FROM appointments WHERE patient_id IS NOT NULL"


async def test_a_world_whose_patients_are_forgotten_is_as_clean(made: Worlds, tmp_path: Path) -> None:
    erasure = sql.load("erasure")
    async with made.copy(resting=True, database=True) as world:
        async with world.database.owner() as owner:
            known = [tuple(row) for row in await owner.fetch(_WAIT_FOR_NOTHING)]
            for name in (name for name in erasure if name.startswith("forget_")):
                await owner.executemany(erasure[name], known)  # as if all were long over
            assert await owner.fetchval("SELECT count(*) FROM appointments WHERE patient_erased_at IS NOT NULL") > 10
            assert {row["status"] for row in await owner.fetch(_KNOWN_STILL)} == {"waitlisted"}
        verdict = await judge(world, tmp_path, settled=True)
    assert verdict.clean, "\n".join(verdict.lines())


async def test_a_world_that_is_archived_is_as_clean(made: Worlds, tmp_path: Path) -> None:
    before = await judge(made.resting, tmp_path, settled=True)
    async with made.copy(resting=True, database=True) as world:
        async with world.database.owner() as owner:
            rows = await owner.fetch("SELECT clinic_id, array_agg(booking_ref) AS refs FROM appointments GROUP BY 1")
            for row in rows:
                await archive(owner, row["clinic_id"], row["refs"], days_ahead=20)
            assert await owner.fetchval("SELECT count(*) FROM appointments WHERE ticket IS NULL") == 0
        verdict = await judge(world, tmp_path, settled=True)
        assert verdict.clean, "\n".join(verdict.lines())
        archived = verdict.looked_at["bookings archived"]
        assert archived >= 15
        gone = {"bookings archived": archived, "seat claims": verdict.looked_at["seat claims"]}
        assert dict(verdict.looked_at) == {**before.looked_at, **gone}
        async with world.database.owner() as owner:
            await owner.execute(
                "UPDATE archived_bookings SET document = jsonb_set(document, '{appointment,row_version}', '9') "
                "WHERE booking_ref = $1",
                world.refs["builtin"],
            )
        verdict = await judge(world, tmp_path, settled=True)
    assert set(verdict.wrong) == {Kind.HISTORY}
    assert [offence.booking_ref for offence in verdict.offences] == [world.refs["builtin"]]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.what.replace(" ", "_"))
async def test_an_offence_is_found_and_named(made: Worlds, plant: Plant, tmp_path: Path) -> None:
    async with made.copy(resting=plant.resting, database=plant.in_database) as world:
        async with world.database.owner() as owner:
            await plant.deed(owner, world)
        verdict = await judge(world, tmp_path, settled=plant.resting)
    said = "\n".join(verdict.lines())
    assert set(verdict.wrong) == plant.kinds, said
    if plant.found is not None:
        assert world.refs.get(plant.found, plant.found) in {offence.booking_ref for offence in verdict.offences}, said


def test_every_kind_of_offence_is_planted() -> None:
    assert set().union(*(plant.kinds for plant in PLANTS)) == set(Kind)


def test_the_audit_asks_for_the_group_that_hold_joins() -> None:
    assert HOLD_GROUP == worker.GROUP


async def test_the_command_prints_a_verdict_and_writes_it(made: Worlds, tmp_path: Path) -> None:
    async with made.copy(resting=True, database=True) as world:
        sources = world.sources(tmp_path)
        arguments = ["audit", "--settled", "--ledger", str(sources.ledger), "--json", str(tmp_path / "verdict.json")]
        said = await waiting_room(*arguments, database=world.database, kafka=world.kafka)
        assert (said.status, said.err) == (0, "")
        assert said.out.endswith("\nclean\n")
        async with world.database.owner() as owner:
            await owner.execute("DELETE FROM seat_claims")
        said = await waiting_room(*arguments, database=world.database, kafka=world.kafka)
    assert (said.status, said.err) == (1, "")
    assert f"  {world.refs['builtin']}  is confirmed and claims no seat" in said.out
    written = msgspec.json.decode((tmp_path / "verdict.json").read_bytes())
    assert written["clean"] is False
    assert written["wrong"] == {kind: 12 * (kind is Kind.SEAT_MISSING) for kind in Kind}


async def test_what_cannot_be_found_out_is_neither_clean_nor_not(made: Worlds, tmp_path: Path) -> None:
    database, kafka = made.resting.database, made.resting.kafka
    nonsense = tmp_path / "nonsense.jsonl"
    nonsense.write_text('{"idempotency_key": 1}\n')
    for arguments, servers, complaint in (
        ((), {"kafka": kafka}, "PostgreSQL: "),
        ((), {"database": database}, "Kafka at "),
        (("--ledger", str(tmp_path / "none")), {"database": database, "kafka": kafka}, "none: No such file"),
        (("--ledger", str(nonsense)), {"database": database, "kafka": kafka}, "$[0].idempotency_key"),
        (("--received", "http://127.0.0.1:9/"), {"database": database, "kafka": kafka}, "http://127.0.0.1:9/: "),
    ):
        said = await waiting_room("audit", *arguments, **servers)
        assert (said.status, said.out) == (2, "")
        assert complaint in said.err
        assert said.err.count("\n") == 1


async def test_what_retention_has_deleted_is_not_missed(made: Worlds, tmp_path: Path) -> None:
    """Comes last: it shortens the log of all these tests."""
    admin = AIOKafkaAdminClient(bootstrap_servers=made.resting.kafka.bootstrap_servers)
    await admin.start()
    everything = RecordsToDelete(-1)
    await admin.delete_records({TopicPartition(BOOKING_REQUESTS, number): everything for number in (1, 3)})
    await admin.close()
    verdict = await judge(made.resting, tmp_path, settled=True)
    assert verdict.looked_at["records of booking.requests"] == 4
    assert verdict.clean, "\n".join(verdict.lines())
