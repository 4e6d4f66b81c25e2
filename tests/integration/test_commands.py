"""The commands as a user runs them: what they print, and the status they end with."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from devstack.ports import free_port
from tests.stack import Kafka, Postgres
from tests.support.cli import waiting_room
from tests.support.database import Database
from tests.support.onboarding import clinic, file_of
from waiting_room.access import opens, parse_token
from waiting_room.messages import AccessKey, DirectoryEntry, Reader

HOOK = {"endpoint_id": "hook", "url": "https://a.example/"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One clinic, 0001, with a webhook endpoint, and one app, app."""
    path = tmp_path / "clinics.json"
    path.write_bytes(msgspec.json.encode(file_of([clinic(1, webhooks=[HOOK])])))
    return path


async def compacted(kafka: Kafka, topic: str) -> dict[str, bytes]:
    """The newest value of each key."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    await consumer.start()
    try:
        where = TopicPartition(topic, 0)
        consumer.assign([where])
        await consumer.seek_to_beginning(where)
        end = (await consumer.end_offsets([where]))[where]
        newest: dict[str, bytes] = {}
        while await consumer.position(where) < end:
            for record in (await consumer.getmany(where, timeout_ms=1_000)).get(where, []):
                newest[record.key.decode()] = record.value
        return newest
    finally:
        await consumer.stop()


async def test_a_bad_setting_is_one_line() -> None:
    said = await waiting_room("migrate", kafka_clinic_partitions="many")
    assert said.status == 2
    assert said.err.startswith("bad setting: WAITING_ROOM_KAFKA_CLINIC_PARTITIONS: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (["migrate"], "PostgreSQL: "),
        (["topics"], "Kafka at 127.0.0.1:9: "),
        (["topics", "--check-only"], "Kafka at 127.0.0.1:9: "),
        (["directory", "list"], "PostgreSQL: "),
        (["keys", "list"], "PostgreSQL: "),
    ],
)
async def test_a_server_that_is_away_is_one_line(command: list[str], complaint: str) -> None:
    said = await waiting_room(*command)
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(complaint)
    setting = "POSTGRES_DSN" if complaint.startswith("PostgreSQL") else "KAFKA_BOOTSTRAP"
    assert said.err.endswith(f"; WAITING_ROOM_{setting} says where it is\n")
    assert said.err.count("\n") == 1


async def test_who_may_not_is_told_what_says_who_they_are(database: Database) -> None:
    said = await waiting_room("keys", "list", database=database, postgres_dsn=database.dsn("relay"))
    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith("PostgreSQL: permission denied")
    assert "WAITING_ROOM_POSTGRES_DSN says as whom to connect" in said.err


async def test_migrate_makes_the_database_and_does_it_again(postgres_server: Postgres) -> None:
    database = Database(postgres_server, f"migrated_{secrets.token_hex(4)}")
    for _ in range(2):
        said = await waiting_room("migrate", "--wait", "5", database=database)
        assert (said.status, said.out.splitlines()[-1]) == (0, "the database is up to date"), said
    async with Database(postgres_server, "postgres").owner() as admin:
        await admin.execute(f"DROP DATABASE {database.name} WITH (FORCE)")


async def test_migrate_waits_for_a_server_that_starts(database: Database) -> None:
    real = urlsplit(database.owner_dsn)
    port = free_port()
    dsn = urlunsplit(real._replace(netloc=real.netloc.replace(f":{real.port}", f":{port}")))
    waiting = asyncio.create_task(waiting_room("migrate", "--wait", "30", postgres_dsn=dsn))
    await asyncio.sleep(1)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(real.hostname, real.port)
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", port)
    said = await waiting
    server.close()
    assert (said.status, said.err) == (0, "")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
    writer.close()


async def test_topics_are_made_and_checked(fresh_kafka: Kafka) -> None:
    said = await waiting_room("topics", kafka=fresh_kafka)
    assert (said.status, said.out) == (0, "all topics are as they must be\n")
    said = await waiting_room("topics", "--check-only", kafka=fresh_kafka, kafka_clinic_partitions="5")
    assert said.status == 1
    assert "booking.requests: 4 partitions, not 5" in said.err


async def test_onboarding_from_the_file_to_the_topic(
    database: Database, fresh_kafka: Kafka, file: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "secrets.json"
    said = await waiting_room("directory", "import", str(file), "--secrets", str(kept), database=database)
    assert (said.status, said.out) == (
        0,
        "1 clinics new, 0 changed; 1 apps and 1 webhook endpoints new or changed\n",
    )
    assert list(msgspec.json.decode(kept.read_bytes())) == ["hook"]
    assert kept.stat().st_mode & 0o777 == 0o600
    listed = await waiting_room("directory", "list", database=database)
    assert listed.out.splitlines()[1].split()[:4] == ["0001", "open", "rest", "0"]
    made = await waiting_room("keys", "create", "--operator", "kim", database=database)
    said = await waiting_room("directory", "publish", database=database, kafka=fresh_kafka)
    assert said.out == "published 1 clinics and 1 keys\n"
    published = await compacted(fresh_kafka, "clinic.directory")
    entry: DirectoryEntry = Reader[DirectoryEntry](DirectoryEntry)(published["0001"])
    assert entry.clinic.name == "Clinic 1"
    assert list(await compacted(fresh_kafka, "access.keys")) == [parse_token(made.out.strip()).key_id]


async def test_a_refused_file_changes_nothing(database: Database, file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace("Europe/Berlin", "Europe/Nowhere"))
    said = await waiting_room("directory", "import", str(file), database=database)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith(f"{file}: ")
    assert "$.businesses[0].clinics[0].timezone" in said.err
    missing = await waiting_room("directory", "import", str(tmp_path / "none.json"), database=database)
    assert missing.status == 2


async def test_a_key_is_made_shown_once_announced_and_revoked(
    database: Database, fresh_kafka: Kafka, file: Path
) -> None:
    await waiting_room("directory", "import", str(file), database=database)
    said = await waiting_room("keys", "create", "--app", "app", database=database, kafka=fresh_kafka)
    assert (said.status, said.err) == (0, "")
    token = parse_token(said.out.strip())
    read: Reader[AccessKey] = Reader(AccessKey)
    key = read((await compacted(fresh_kafka, "access.keys"))[token.key_id])
    assert opens(key, token, datetime.now(UTC))
    listed = await waiting_room("keys", "list", database=database)
    assert token.secret not in listed.out
    assert listed.out.splitlines()[1].split()[:4] == [token.key_id, "app", "app", "valid"]
    revoked = await waiting_room("keys", "revoke", token.key_id, database=database, kafka=fresh_kafka)
    assert revoked.status == 0
    key = read((await compacted(fresh_kafka, "access.keys"))[token.key_id])
    assert not opens(key, token, datetime.now(UTC))


async def test_a_key_is_made_while_kafka_is_away(database: Database, file: Path) -> None:
    await waiting_room("directory", "import", str(file), database=database)
    said = await waiting_room("keys", "create", "--clinic", "0001", database=database)
    assert said.status == 0
    assert parse_token(said.out.strip())
    assert "relay will publish it" in said.err


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        ([], 2, "give one of --app, --clinic and --operator"),
        (["--app", "a", "--clinic", "0001"], 2, "give one of"),
        (["--clinic", "0001", "--scope", "operator"], 2, "cannot have operator"),
        (["--app", "app", "--expires", "2020-01-01T00:00:00Z"], 2, "in the past"),
        (["--app", "app", "--expires", "2050-01-01"], 2, "--expires"),
        (["--operator", " "], 2, "give the operator a name"),
        (["--app", "nobody"], 1, "unknown app 'nobody'"),
    ],
)
async def test_a_key_nobody_could_use_is_not_made(
    database: Database, arguments: list[str], status: int, complaint: str
) -> None:
    said = await waiting_room("keys", "create", *arguments, database=database)
    assert said.status == status
    assert complaint in said.err


async def test_revoking_a_key_that_is_not_there_says_so(database: Database) -> None:
    said = await waiting_room("keys", "revoke", "nosuchkey", database=database)
    assert (said.status, said.err) == (1, "there is no key nosuchkey\n")
