"""The servers everything stands on keep what they acknowledged, whatever is done to them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.kafka_server import KafkaServer
from devstack.postgres_server import PostgresServer
from devstack.processes import ProcessFailed
from tests.stack import READY_SECONDS, server_folder

_ROOT = Path(__file__).parents[2]
_TOPIC = "kept"
_RECORDS = 200


@pytest.fixture(scope="module")
async def broker(server_folders: None) -> AsyncIterator[KafkaServer]:
    server = KafkaServer(server_folder("kafka-own"), heap="256m", ready_timeout_seconds=READY_SECONDS)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="module")
async def postgres(server_folders: None) -> AsyncIterator[PostgresServer]:
    server = PostgresServer(server_folder("postgres-own"), ready_timeout_seconds=READY_SECONDS)
    await server.start()
    yield server
    await server.stop()


async def test_kafka_keeps_acknowledged_records_over_kill(broker: KafkaServer) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(_TOPIC, num_partitions=4, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all") as producer:
        sent = [await producer.send(_TOPIC, str(n).encode(), partition=n % 4) for n in range(_RECORDS)]
        await asyncio.gather(*sent)

    await broker.kill()
    assert not broker.running
    await broker.start()

    consumer = AIOKafkaConsumer(
        _TOPIC, bootstrap_servers=broker.bootstrap_servers, group_id="reader", auto_offset_reset="earliest"
    )
    received: set[int] = set()
    async with consumer, asyncio.timeout(60):
        while len(received) < _RECORDS:
            batches = await consumer.getmany(timeout_ms=200)
            received |= {int(record.value or b"") for batch in batches.values() for record in batch}
    assert received == set(range(_RECORDS))


async def test_kafka_freezes_and_serves_again(broker: KafkaServer) -> None:
    async def cluster_id() -> str:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers, request_timeout_ms=20_000)
        await admin.start()
        try:
            description = await admin.describe_cluster()
        finally:
            await admin.close()
        return str(description["cluster_id"])

    before = await cluster_id()
    broker.freeze()
    asking = asyncio.create_task(cluster_id())
    done, _ = await asyncio.wait([asking], timeout=0.5)
    assert not done
    broker.thaw()
    assert await asking == before


async def test_postgres_keeps_commits_over_kill(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    await connection.execute("CREATE TABLE kept (number int)")
    await connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    everything = [psutil.Process(postgres.pid), *psutil.Process(postgres.pid).children(recursive=True)]

    await postgres.kill()
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in everything)
    connection.terminate()
    await postgres.start()

    connection = await asyncpg.connect(postgres.dsn())
    assert await connection.fetchval("SELECT count(*) FROM kept") == 1000
    assert await connection.fetchval("SHOW fsync") == "on"
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    await connection.close()


async def test_postgres_freezes_with_its_backends(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    postgres.freeze()
    asking = asyncio.create_task(connection.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([asking], timeout=0.3)
    assert not done
    postgres.thaw()
    assert await asking == 1
    await connection.close()


async def test_postgres_wants_its_password(postgres: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.dsn(password="wrong"))


async def test_postgres_recovers_from_a_parent_killed_while_it_was_frozen(server_folders: None) -> None:
    folder = server_folder("postgres-orphaned")
    code = (
        "import asyncio, pathlib, time; from devstack.postgres_server import PostgresServer\n"
        f"server = PostgresServer(pathlib.Path('{folder}'))\n"
        "asyncio.run(server.start()); server.freeze(); print(server.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        postmaster = psutil.Process(int(await asyncio.to_thread(parent.stdout.readline)))
        backends = postmaster.children()
        parent.kill()
    assert backends, "the test is about processes that a frozen postmaster leaves behind"

    server = PostgresServer(folder, ready_timeout_seconds=READY_SECONDS)
    await server.start()
    connection = await asyncpg.connect(server.dsn())
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    await server.stop()
    assert not any(backend.is_running() and backend.status() != "zombie" for backend in backends)


async def test_one_data_folder_has_one_server(postgres: PostgresServer) -> None:
    second = PostgresServer(postgres.folder)
    with pytest.raises(ProcessFailed, match="another PostgreSQL"):
        await second.start()
