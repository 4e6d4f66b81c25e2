"""Creates the topics of ``topics.py`` and checks that those there are as they must be."""

from __future__ import annotations

import asyncio
import time

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from waiting_room.kafka import connection
from waiting_room.settings import Settings
from waiting_room.topics import TOPICS, Topic

_SETTLE_SECONDS = 10.0
"""Brokers learn of new topics a moment after the controller has made them."""


class TopicsWrong(Exception):
    """Topics differ from the list; one line each."""


async def ensure(settings: Settings) -> list[str]:
    """Create what is missing, then check everything. The names created. Raises TopicsWrong, KafkaError."""
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        created = await _create(admin, settings)
        wrong = await _differences(admin, settings)
        deadline = time.monotonic() + _SETTLE_SECONDS
        while created and wrong and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            wrong = await _differences(admin, settings)
        if wrong:
            raise TopicsWrong("\n".join(wrong))
        return created
    finally:
        await admin.close()


async def check(settings: Settings) -> None:
    """Raises TopicsWrong if a topic is missing or differs, KafkaError if the brokers cannot be asked."""
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        if wrong := await _differences(admin, settings):
            raise TopicsWrong("\n".join(wrong))
    finally:
        await admin.close()


def _config(topic: Topic, settings: Settings) -> dict[str, str]:
    return {**topic.config, "min.insync.replicas": str(settings.kafka_min_insync_replicas)}


async def _create(admin: AIOKafkaAdminClient, settings: Settings) -> list[str]:
    there = set(await admin.list_topics())
    missing = [topic for topic in TOPICS if topic.name not in there]
    if not missing:
        return []
    response = await admin.create_topics(
        [
            NewTopic(
                topic.name,
                topic.partition_count(settings.kafka_clinic_partitions),
                settings.kafka_replication_factor,
                topic_configs=_config(topic, settings),
            )
            for topic in missing
        ],
        timeout_ms=60_000,
    )
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise TopicsWrong(f"{name}: not created: {error.__name__} {message[0] if message else ''}")
    return [topic.name for topic in missing]


async def _differences(admin: AIOKafkaAdminClient, settings: Settings) -> list[str]:
    wrong = []
    described = {
        entry["topic"]: entry
        for entry in await admin.describe_topics([topic.name for topic in TOPICS])
        if not entry["error_code"]
    }
    for topic in TOPICS:
        if topic.name not in described:
            wrong.append(f"{topic.name}: missing")
            continue
        found, wanted = (
            len(described[topic.name]["partitions"]),
            topic.partition_count(settings.kafka_clinic_partitions),
        )
        if found != wanted:
            wrong.append(f"{topic.name}: {found} partitions, not {wanted}")
    wrong.extend(await _config_differences(admin, [topic for topic in TOPICS if topic.name in described], settings))
    return wrong


async def _config_differences(admin: AIOKafkaAdminClient, topics: list[Topic], settings: Settings) -> list[str]:
    wrong: list[str] = []
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    wanted = {topic.name: _config(topic, settings) for topic in topics}
    for response in await admin.describe_configs(resources):
        for _code, _message, _kind, name, entries in response.resources:
            found = {entry[0]: entry[1] for entry in entries}
            wrong.extend(
                f"{name}: {key} is {found.get(key)}, not {value}"
                for key, value in wanted[name].items()
                if found.get(key) != value
            )
    return wrong
