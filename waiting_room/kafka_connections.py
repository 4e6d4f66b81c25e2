"""Mends one thing in aiokafka's connections: writing to one that ended a moment ago, on uvloop.

uvloop refuses that with a RuntimeError, where asyncio's own loop takes the bytes and drops them. aiokafka (0.14; its
issue 1038) is prepared for faults of the operating system only, so whatever wrote between the end of a connection and
its reader's hearing of it died of that, in silence: the fetcher, and its consumer handed on nothing any more; or who
keeps the metadata, and who waits for an offset waited in vain. A broker that is killed while a consumer begins to read
meets that moment, for then one request follows another.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send: Final = AIOKafkaConnection.send


def _send_or_say_that_it_ended(connection: AIOKafkaConnection, *request: Any, **options: Any) -> Awaitable[Any]:
    """Raises KafkaConnectionError, as aiokafka's own does for every other connection that has ended."""
    try:
        sent: Awaitable[Any] = _send(connection, *request, **options)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"the connection to {connection.host}:{connection.port} has ended") from error
    return sent


def mend() -> None:
    """In this process, for every client of Kafka; once is enough."""
    AIOKafkaConnection.send = _send_or_say_that_it_ended
