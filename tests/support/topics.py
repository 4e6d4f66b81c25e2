"""Empty topics on the shared test broker."""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient

from tests.stack import Kafka
from tests.support.world import settings_for
from waiting_room import topics_admin
from waiting_room.topics import TOPICS


async def recreate(kafka: Kafka) -> None:
    """Delete our topics, with what consumer groups had committed of them, and create them anew."""
    await remove(kafka)
    await topics_admin.ensure(settings_for(None, kafka))


async def groups(kafka: Kafka, *names: str) -> dict[str, tuple[str, int]]:
    """Each group's state, as Kafka calls it, and how many members it has. Needs ``groups_can_be_read``."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        described = await admin.describe_consumer_groups(list(names))
        return {group[1]: (group[2], len(group[5])) for response in described for group in response.groups}
    finally:
        await admin.close()


async def remove(kafka: Kafka) -> None:
    """Delete our topics, with what consumer groups had committed of them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        ours = {topic.name for topic in TOPICS}
        there = [name for name in await admin.list_topics() if name in ours]
        if there:
            await admin.delete_topics(there, timeout_ms=30_000)
            while ours & set(await admin.list_topics()):
                await asyncio.sleep(0.05)
    finally:
        await admin.close()
