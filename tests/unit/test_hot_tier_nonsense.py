"""Whatever stands behind the hot tier's address may answer, nobody who asks it suffers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime

import msgspec
import pytest

from ingress.shared_days import DayKey, SharedDays
from waiting_room.hot_tier import HotTier

KEY = DayKey("0001", "0001-1", date(2026, 11, 26))
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
NAIVE = datetime(2026, 11, 26, 12)  # noqa: DTZ001 - what nobody of ours has written
ROW = ["ref", 0, None, NOON, NOON, False]


async def command(reader: asyncio.StreamReader) -> list[bytes]:
    """The next one, in RESP. Raises IncompleteReadError when there is none any more."""
    words = []
    for _ in range(int((await reader.readuntil(b"\r\n"))[1:])):
        size = int((await reader.readuntil(b"\r\n"))[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


@asynccontextmanager
async def answering(mget: bytes) -> AsyncIterator[HotTier]:
    """A hot tier that is well, but answers this when it is asked for keys."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := await command(reader):
                writer.write({b"PING": b"+PONG\r\n", b"MGET": mget}.get(asked[0], b"+OK\r\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    tier = HotTier(f"valkey://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", 5.0)
    finish = asyncio.Event()
    running = asyncio.create_task(tier.run(finish))
    try:
        async with asyncio.timeout(60):
            while tier.away:
                await asyncio.sleep(0)
        yield tier
    finally:
        finish.set()
        await running
        server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b":2\r\n",
        b"$2\r\nab\r\n",
        b"*0\r\n",
        b"*1\r\n$1\r\na\r\n",
        b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        b"*2\r\n:1\r\n$1\r\nb\r\n",
        b"*2\r\n*0\r\n*0\r\n",
        b"-OOM command not allowed\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_an_answer_to_something_else_is_none(answer: bytes) -> None:
    async with answering(answer) as tier:
        assert await tier.get(["a", "b"]) == [None, None]


@pytest.mark.parametrize(
    "lent",
    [
        b"",
        b"\xff",
        msgspec.msgpack.encode("a day"),
        msgspec.msgpack.encode([1, 1, NAIVE, NOON, NOON, []]),
        msgspec.msgpack.encode([1, 1, NOON, NOON, NOON, [["ref", 0, None, NAIVE, NOON, False]]]),
        msgspec.msgpack.encode([1, 1, NOON, NOON, NOON, [ROW]]).replace(b"ref", b"\xff\xff\xff"),
        msgspec.msgpack.encode([2**64 - 1, 1, NOON, NOON, NOON, [ROW]]),
        msgspec.msgpack.encode([-1, 1, NOON, NOON, NOON, [ROW]]),
    ],
)
async def test_a_day_that_is_none_is_not_borrowed(lent: bytes) -> None:
    async with answering(b"*1\r\n$%d\r\n%s\r\n" % (len(lent), lent)) as tier:
        assert await SharedDays(tier).borrow([KEY]) == {}


async def test_a_day_as_we_write_it_is_borrowed() -> None:
    lent = msgspec.msgpack.encode([1, 1, NOON, NOON, NOON, [ROW]])
    async with answering(b"*1\r\n$%d\r\n%s\r\n" % (len(lent), lent)) as tier:
        assert (await SharedDays(tier).borrow([KEY]))[KEY].rows[0].booking_ref == "ref"
