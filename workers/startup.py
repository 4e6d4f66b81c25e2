"""Waiting for what a role stands on: it starts when Kafka and PostgreSQL are there, and crashes because of neither."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiokafka.errors import KafkaError, KafkaTimeoutError, ProducerClosed

from waiting_room import topics_admin
from waiting_room.settings import Settings
from waiting_room.store import schema
from waiting_room.store.faults import passes
from waiting_room.supervise import TaskDied, pause

log = structlog.get_logger(__name__)
AGAIN_SECONDS = 1.0
_AWAY = KafkaTimeoutError, ProducerClosed
"""No retry of aiokafka's own mends these; a broker that comes back does. The second is told to whoever waits for an
acknowledgement of a producer that is being replaced.
"""


async def until_ready(settings: Settings, finish: asyncio.Event) -> bool:
    """Wait for topics and schema as this version of the program knows them. False when told to finish before."""
    for name, check in (("kafka", topics_admin.check), ("postgres", schema.check)):
        if not await _until(name, check, settings, finish):
            return False
    return True


def is_absence(error: BaseException) -> bool:
    """Whether Kafka or PostgreSQL was not there, as opposed to something being wrong."""
    cause: BaseException | None = error
    while isinstance(cause, TaskDied):
        cause = cause.__cause__
    if isinstance(cause, KafkaError):
        return bool(cause.retriable) or isinstance(cause, _AWAY)
    return cause is not None and passes(cause)


async def _until(
    name: str, check: Callable[[Settings], Awaitable[None]], settings: Settings, finish: asyncio.Event
) -> bool:
    while not finish.is_set():
        try:
            await check(settings)
            return True
        except (KafkaError, topics_admin.TopicsWrong, schema.SchemaBehind) as error:
            cause: BaseException = error
        except Exception as error:
            if not passes(error):
                raise
            cause = error
        log.warning("waiting_for", what=name, error=type(cause).__name__, detail=str(cause))
        await pause(finish, AGAIN_SECONDS)
    return False
