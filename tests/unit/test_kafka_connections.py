"""A connection to a broker that has just ended says so to whoever writes to it, and one nobody waits for is closed."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, AIOKafkaProtocol
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import BrokerMetadata

from waiting_room.kafka import Consumer  # it mends them

_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
_END_AT_ONCE = struct.pack("ii", 1, 0)


@pytest.mark.parametrize("loop", _LOOPS)
def test_who_writes_before_the_end_was_heard_of_is_told(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with asyncio.Runner(loop_factory=_LOOPS[loop]) as runner:
        told, connected = runner.run(_write_as_it_ends(monkeypatch))
    assert isinstance(told, KafkaConnectionError)
    assert not connected


async def _write_as_it_ends(monkeypatch: pytest.MonkeyPatch) -> tuple[BaseException | None, bool]:
    """What the writer is told, and whether the connection passes for one that stands."""
    written: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    lost = AIOKafkaProtocol.connection_lost

    async def write() -> None:
        try:
            written.set_result(await connection.send(MetadataRequest([])))
        except Exception as error:
            written.set_exception(error)

    def lost_and_written_to(protocol: AIOKafkaProtocol, error: Exception | None) -> None:
        lost(protocol, error)
        writing.append(asyncio.create_task(write()))

    monkeypatch.setattr(AIOKafkaProtocol, "connection_lost", lost_and_written_to)
    writing: list[asyncio.Task[None]] = []
    peers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(partial(_broker, peers), "127.0.0.1", 0)
    connection = AIOKafkaConnection("127.0.0.1", server.sockets[0].getsockname()[1], request_timeout_ms=2_000)
    await connection.connect()
    peers[0].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _END_AT_ONCE)
    peers[0].transport.abort()
    with suppress(Exception):
        await asyncio.wait_for(asyncio.shield(written), 60)
    server.close()
    return written.exception(), connection.connected()


async def test_who_gives_up_before_the_cluster_has_answered_leaves_no_connection_open() -> None:
    peers: list[asyncio.StreamWriter] = []
    asked, ended = asyncio.Event(), asyncio.Event()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _broker(peers, reader, writer)
        await reader.readexactly(4)
        asked.set()
        await reader.read()  # what the cluster is made of is not told
        ended.set()
        writer.close()

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    consumer = Consumer(bootstrap_servers=f"127.0.0.1:{server.sockets[0].getsockname()[1]}", request_timeout_ms=60_000)
    starting = asyncio.create_task(consumer.start())
    async with asyncio.timeout(60):
        await asked.wait()
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        await ended.wait()
    server.close()


async def test_a_connection_that_comes_about_after_its_client_was_closed_is_closed_too() -> None:
    asked, answer, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await answer.wait()
        await _broker([], reader, writer)
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    client = AIOKafkaClient(request_timeout_ms=60_000)
    client.cluster._brokers[1] = BrokerMetadata(1, "127.0.0.1", server.sockets[0].getsockname()[1], None)
    connecting = asyncio.create_task(client.ready(1))
    async with asyncio.timeout(60):
        await asked.wait()
        await client.close()
        answer.set()
        await connecting
        await ended.wait()
    server.close()


async def _broker(
    peers: list[asyncio.StreamWriter], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answers the question that every connection begins with: which versions of which requests it takes."""
    peers.append(writer)
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    request = await reader.readexactly(size)
    versions = b"".join(struct.pack(">hhh", kind, 0, 1) for kind in range(60))
    answer = request[4:8] + struct.pack(">hi", 0, 60) + versions
    writer.write(struct.pack(">i", len(answer)) + answer)
