"""Mends three things in aiokafka's connections (0.14).

Writing to one that ended a moment ago, on uvloop: uvloop refuses that with a RuntimeError, where asyncio's own loop
takes the bytes and drops them. aiokafka (its issue 1038) is prepared for faults of the operating system only, so
whatever wrote between the end of a connection and its reader's hearing of it died of that, in silence: the fetcher,
and its consumer handed on nothing any more; or who keeps the metadata, and who waits for an offset waited in vain. A
broker that is killed while a consumer begins to read meets that moment, for then one request follows another.

Giving up while the cluster is asked for what it is made of, each client's first question: the connection it was asked
over stayed open until the collector of garbage came by. And so did the one that somebody was still waiting for when
the client was closed.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakSet

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send: Final = AIOKafkaConnection.send
_connect: Final = AIOKafkaConnection.connect
_bootstrap: Final = AIOKafkaClient.bootstrap
_close: Final = AIOKafkaClient.close
_made: ContextVar[WeakSet[AIOKafkaConnection] | None] = ContextVar("_made", default=None)


def _send_or_say_that_it_ended(connection: AIOKafkaConnection, *request: Any, **options: Any) -> Awaitable[Any]:
    """Raises KafkaConnectionError, as aiokafka's own does for every other connection that has ended."""
    try:
        sent: Awaitable[Any] = _send(connection, *request, **options)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"the connection to {connection.host}:{connection.port} has ended") from error
    return sent


async def _connect_and_remember(connection: AIOKafkaConnection) -> Any:
    if (made := _made.get()) is not None:
        made.add(connection)
    return await _connect(connection)


async def _bootstrap_or_close(client: AIOKafkaClient) -> None:
    """As aiokafka's own; whatever it was connected to is closed when it does not come to its end."""
    made: WeakSet[AIOKafkaConnection] = WeakSet()  # weak, as the tasks it starts go on with this context
    token = _made.set(made)
    try:
        await _bootstrap(client)
    except BaseException:
        for connection in list(made):
            connection.close()
        raise
    finally:
        _made.reset(token)


class _OfOneThatIsClosed(dict[Any, AIOKafkaConnection]):
    """Its connections. Whatever is put to them is closed at once."""

    def __setitem__(self, which: Any, connection: AIOKafkaConnection) -> None:
        super().__setitem__(which, connection)
        connection.close()


async def _close_for_good(client: AIOKafkaClient) -> None:
    client._conns = _OfOneThatIsClosed(client._conns)
    await _close(client)


def mend() -> None:
    """In this process, for every client of Kafka; once is enough."""
    AIOKafkaConnection.connect = _connect_and_remember
    AIOKafkaClient.bootstrap = _bootstrap_or_close
    AIOKafkaClient.close = _close_for_good
    AIOKafkaConnection.send = _send_or_say_that_it_ended
