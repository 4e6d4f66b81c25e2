"""Prepares the broker's classes once a machine: it then starts in a third of the time and of the CPU.

A broker runs for a moment while Java records what it loads, and Java stores that parsed, linked and with its
profiles (an AOT cache, JEP 483 and 514). Everything works without it, only slower.
"""

import asyncio
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.cache import cache_folder, exclusive
from devstack.jars import JarsUnavailable, kafka_jars
from devstack.kafka_java import kafka_command, prepared_classes
from devstack.kafka_server import KafkaServer
from devstack.processes import Process, ProcessFailed

_HEAP = "512m"
_TOPIC = "rehearsal"
_RECORDS = 1_000
_STOP_DEADLINE_SECONDS = 60.0
_CREATE_TIMEOUT_SECONDS = 120.0


async def prepare() -> None:
    """Makes the prepared classes where they are missing. Raises ProcessFailed and JarsUnavailable."""
    target = prepared_classes(kafka_jars())
    with exclusive(cache_folder() / "kafka-prepare.lock"):
        if target.exists():
            return
        for outdated in cache_folder().glob("kafka-*.aot"):
            outdated.unlink()
        folder = Path(tempfile.mkdtemp(prefix="kafka-prepare-", dir=cache_folder()))
        try:
            await _record_and_create(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def _record_and_create(folder: Path, target: Path) -> None:
    recording = folder / "recorded"
    server = KafkaServer(
        folder,
        heap=_HEAP,
        java_options=["-XX:AOTMode=record", f"-XX:AOTConfiguration={recording}"],
    )
    await server.start()
    try:
        await _rehearse(server.bootstrap_servers)
    finally:
        await server.stop(_STOP_DEADLINE_SECONDS)
    unfinished = folder / "prepared"
    create = kafka_command(
        ["kafka.Kafka"],
        heap=_HEAP,
        logging=folder / "log4j2.properties",
        java_options=[
            "-XX:AOTMode=create",
            f"-XX:AOTConfiguration={recording}",
            f"-XX:AOTCache={unfinished}",
        ],
    )
    creating = Process("kafka class preparation", create, log_file=folder / "create.log")
    creating.spawn()
    await creating.expect_success(_CREATE_TIMEOUT_SECONDS)
    unfinished.rename(target)


async def _rehearse(bootstrap_servers: str) -> None:
    """What a stack does in its first seconds, so that those classes are known too."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(_TOPIC, num_partitions=8, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        _TOPIC, bootstrap_servers=bootstrap_servers, group_id=_TOPIC, auto_offset_reset="earliest"
    )
    async with producer, consumer:
        sent = [await producer.send(_TOPIC, b"rehearsal") for _ in range(_RECORDS)]
        await asyncio.gather(*sent)
        received = 0
        while received < _RECORDS:
            batches = await consumer.getmany(timeout_ms=1_000)
            received += sum(len(batch) for batch in batches.values())
        await consumer.commit()


def main() -> int:
    """Exits with 0 also when it fails: what follows works, only slower."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a topic this young is not known at once
    try:
        asyncio.run(prepare())
    except (ProcessFailed, JarsUnavailable) as error:
        print(f"Kafka will start slowly, its classes could not be prepared: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
