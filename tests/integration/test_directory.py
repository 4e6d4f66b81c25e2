"""Onboarding into a real database: an upsert that tells hold and relay what changed, and refuses what cannot be."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest

from tests.support.database import Database
from tests.support.endpoint import ENVELOPE
from tests.support.onboarding import SERVICE, clinic, file_of, provider
from tests.support.world import tomorrow
from waiting_room.domain.directory import Eligibility
from waiting_room.messages import DirectoryEntry, Reader
from waiting_room.onboarding import Onboarding
from waiting_room.store import calls, directory, webhook_secrets
from waiting_room.store.directory import Imported, Refused
from waiting_room.store.pool import Connection
from waiting_room.webhook_signing import opened

read_entry: Reader[DirectoryEntry] = Reader(DirectoryEntry)


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    async with database.owner() as connection:
        yield connection


async def import_(owner: Connection, file: Onboarding, partitions: int = 4) -> Imported:
    async with owner.transaction():
        return await directory.import_file(owner, file, partitions, ENVELOPE)


async def rules(owner: Connection) -> dict[str, int]:
    rows = await owner.fetch("SELECT clinic_id, rules_version FROM clinic_counters")
    return {row["clinic_id"]: row["rules_version"] for row in rows}


async def announced(owner: Connection) -> dict[str, DirectoryEntry]:
    """What waits for relay; it is taken away."""
    rows = await owner.fetch("DELETE FROM directory_outbox RETURNING topic, key, record")
    assert {row["topic"] for row in rows} <= {"clinic.directory"}
    return {row["key"]: read_entry(row["record"].encode()) for row in rows}


async def test_an_import_is_complete(owner: Connection) -> None:
    done = await import_(owner, file_of([clinic(1, doctors=2), clinic(2)]))
    assert (done.clinics, done.new_clinics, done.apps) == (("0001", "0002"), ("0001", "0002"), 1)
    loaded = await directory.load(owner)
    assert [each.clinic_id for each in loaded] == ["0001", "0002"]
    assert [each.provider_id for each in loaded[0].providers] == ["0001-1", "0001-2"]
    assert {each.partition for each in loaded} == {0, 1}
    assert await announced(owner) == {each.clinic_id: DirectoryEntry(clinic=each) for each in loaded}
    for table in ("clinic_counters", "relay_cursors"):
        assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 2


async def test_a_service_that_begins_to_ask_who_may_have_it_is_announced_and_known_to_confirm(
    owner: Connection,
) -> None:
    await import_(owner, file_of([clinic(1)]))
    await announced(owner)
    asking = file_of([clinic(1)], services=({**SERVICE, "eligibility": "fail_closed"},))
    assert (await import_(owner, asking)).clinics == ("0001",)
    [entry] = (await announced(owner)).values()
    assert [each.eligibility for each in entry.clinic.service_types] == [Eligibility.FAIL_CLOSED]
    [system] = (await calls.load_systems(owner, ["0001"])).values()
    assert (system.business_id, system.asks_for("checkup")) == ("vets", Eligibility.FAIL_CLOSED)
    assert system.asks_for("another") is Eligibility.NONE


async def test_importing_again_changes_and_announces_nothing(owner: Connection) -> None:
    file = file_of([clinic(1), clinic(2)])
    await import_(owner, file)
    await announced(owner)
    before = await rules(owner)
    assert await import_(owner, file) == Imported((), (), 0, 0, {})
    assert await rules(owner) == before
    assert not await announced(owner)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Renamed"},
        {"status": "closed"},
        {"endpoint": "https://elsewhere.example"},
        {"declared_concurrency": 9},
        {"providers": [provider("0001-1", capacity=2)]},
        {"providers": [provider("0001-1"), provider("0001-2")]},
        {"providers": [provider("0001-1", hours=[])]},
    ],
    ids=lambda change: msgspec.json.encode(change).decode()[:40],
)
async def test_a_changed_clinic_gets_new_rules_and_a_record(owner: Connection, change: dict[str, Any]) -> None:
    await import_(owner, file_of([clinic(1), clinic(2)]))
    await announced(owner)
    before = await rules(owner)
    done = await import_(owner, file_of([clinic(1, **change), clinic(2)]))
    assert done.clinics == ("0001",)
    assert await rules(owner) == {**before, "0001": before["0001"] + 1}
    assert list(await announced(owner)) == ["0001"]


async def test_a_changed_service_type_changes_every_clinic_of_the_business(owner: Connection) -> None:
    await import_(owner, file_of([clinic(1), clinic(2)]))
    done = await import_(owner, file_of([], services=({**SERVICE, "duration_minutes": 30},)))
    assert done.clinics == ("0001", "0002")
    assert (await announced(owner))["0002"].clinic.service_types[0].duration_minutes == 30


async def test_what_waits_for_relay_is_replaced_not_repeated(owner: Connection) -> None:
    await import_(owner, file_of([clinic(1)]))
    await import_(owner, file_of([clinic(1, name="Renamed")]))
    assert await owner.fetchval("SELECT count(*) FROM directory_outbox") == 1
    assert (await announced(owner))["0001"].clinic.name == "Renamed"


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (file_of([clinic(1, partition=3)]), "clinic 0001: is on partition 0, not 3; moving a clinic needs"),
        (file_of([clinic(3, partition=4)]), "partition 4 is not one of 0 to 3"),
        (file_of([clinic(2, providers=[provider("0001-1")])]), "provider 0001-1 belongs to 0001"),
        (file_of([clinic(1, providers=[provider("new", service_types=["surgery"])])]), "surgery"),
        (
            file_of([clinic(2, webhooks=[{"endpoint_id": "hook", "url": "https://a.example/"}])]),
            "endpoint hook belongs to 0001",
        ),
    ],
)
async def test_what_cannot_be_is_refused_whole(owner: Connection, file: Onboarding, complaint: str) -> None:
    hook = {"endpoint_id": "hook", "url": "https://a.example/"}
    await import_(owner, file_of([clinic(1, webhooks=[hook]), clinic(2)]))
    before = await directory.load(owner)
    with pytest.raises(Refused, match=complaint):
        await import_(owner, file)
    assert await directory.load(owner) == before


async def test_a_clinic_stays_with_its_business(owner: Connection) -> None:
    await import_(owner, file_of([clinic(1)]))
    moved = msgspec.json.decode(msgspec.json.encode(file_of([clinic(1)])))
    moved["businesses"][0]["business_id"] = "others"
    with pytest.raises(Refused, match="clinic 0001 belongs to vets already"):
        await import_(owner, msgspec.convert(moved, Onboarding))


async def test_capacity_does_not_fall_below_what_is_booked(owner: Connection) -> None:
    await import_(owner, file_of([clinic(1, providers=[provider("0001-1", capacity=3)])]))
    await owner.execute(
        """
        INSERT INTO appointments (
            clinic_id, booking_ref, app_id, status, stage, ticket, provider_id, start_at, accepted_at
        )
        VALUES ('0001', '0001-A', 'app', 'pending', 'held', 1, '0001-1', $1, now())
        """,
        tomorrow(),
    )
    await owner.execute(
        """
        INSERT INTO seat_claims (clinic_id, provider_id, seat, during, day, booking_ref, revision)
        VALUES ('0001', '0001-1', 2, tstzrange($1, $1::timestamptz + interval '1 hour'), $2, '0001-A', 1)
        """,
        tomorrow(),
        tomorrow().date(),
    )
    with pytest.raises(Refused, match="capacity 2 is too little for what is booked, which needs 3"):
        await import_(owner, file_of([clinic(1, providers=[provider("0001-1", capacity=2)])]))


async def test_secrets_are_made_once_and_kept(owner: Connection) -> None:
    hook = {"endpoint_id": "hook", "url": "https://a.example/"}
    made = (await import_(owner, file_of([clinic(1, webhooks=[hook])]))).secrets
    assert list(made) == ["hook"]
    again = await import_(owner, file_of([clinic(1, webhooks=[{**hook, "url": "https://b.example/"}])]))
    assert (again.secrets, again.endpoints) == ({}, 1)
    assert await owner.fetchval("SELECT url FROM webhook_endpoints") == "https://b.example/"
    assert await current_secret(owner) == made["hook"]
    given = f"whsec_{b64encode(bytes(32)).decode()}"
    file = file_of([clinic(1, webhooks=[{**hook, "url": "https://b.example/", "secret": given}])])
    assert (await import_(owner, file)).endpoints == 1
    assert (await import_(owner, file)).endpoints == 0
    assert await current_secret(owner) == given
    assert await owner.fetchval("SELECT count(*) FROM webhook_secrets WHERE expires_at > now()") == 0


async def current_secret(owner: Connection) -> str:
    return opened(ENVELOPE, "hook", (await webhook_secrets.current(owner, ["hook"]))["hook"].sealed).secret


async def test_an_endpoint_that_was_off_is_told_from_when_it_is_on_again(owner: Connection) -> None:
    hook = {"endpoint_id": "hook", "url": "https://a.example/"}
    await import_(owner, file_of([clinic(1, webhooks=[{**hook, "active": False}])]))
    off = await owner.fetchrow("SELECT active, disabled_reason, told_from FROM webhook_endpoints")
    await import_(owner, file_of([clinic(1, webhooks=[hook])]))
    on = await owner.fetchrow("SELECT active, disabled_reason, told_from FROM webhook_endpoints")
    assert off is not None
    assert on is not None
    assert (off["active"], off["disabled_reason"]) == (False, "operator")
    assert (on["active"], on["disabled_reason"]) == (True, None)
    assert on["told_from"] > off["told_from"]


async def test_without_a_master_key_no_secret_is_kept(owner: Connection) -> None:
    hook = {"endpoint_id": "hook", "url": "https://a.example/"}
    with pytest.raises(Refused, match="MASTER_KEY"):
        async with owner.transaction():
            await directory.import_file(owner, file_of([clinic(1, webhooks=[hook])]), 4)


async def test_a_clinic_made_by_other_means_gets_its_counters(owner: Connection) -> None:
    await import_(owner, file_of([clinic(1)]))
    await owner.execute("DELETE FROM clinic_counters; DELETE FROM relay_cursors")
    assert await directory.add_missing_counters(owner) == 1
    assert await directory.add_missing_counters(owner) == 0


async def test_two_imports_at_once_spread_their_clinics(database: Database, owner: Connection) -> None:
    async with database.owner() as other:
        first, second = (file_of([clinic(number) for number in numbers]) for numbers in ((1, 2), (3, 4)))
        await asyncio.gather(import_(owner, first), import_(other, second))
    assert {each.partition for each in await directory.load(owner)} == {0, 1, 2, 3}


async def test_five_hundred_clinics_are_imported_with_as_many_queries_as_one(
    owner: asyncpg.Connection[asyncpg.Record],
) -> None:
    queries: list[str] = []
    owner.add_query_logger(lambda done: queries.append(done.query))
    await import_(owner, file_of([clinic(1, doctors=3)]), 512)
    for_one = len(queries)
    queries.clear()
    done = await import_(owner, file_of([clinic(number, doctors=3) for number in range(2, 502)]), 512)
    assert len(done.new_clinics) == 500
    assert len(queries) <= for_one
    assert len({each.partition for each in await directory.load(owner)}) == 501
