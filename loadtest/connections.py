"""Keep-alive HTTP/1.1 connections to one host, as many as are needed at once: the client half of the load
sender.

No pipelining: a connection carries one call at a time. A call that finds no idle connection waits for one
to open or to become free; the bound on connections is what keeps a stalled server from eating all our
sockets.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast

import httptools


class Answer(NamedTuple):
    status: int
    body: bytes
    retry_after: bytes | None


class Call:
    """A request on its way. Times are `time.monotonic()` seconds."""

    __slots__ = ("due", "payload", "sent")

    def __init__(self, due: float, payload: bytes) -> None:
        self.due = due
        self.payload = payload  # head and body as they go on the wire
        self.sent: float | None = None


Done = Callable[[Call, Answer | None, str], None]
"""Called once for every call: with its answer, or with None and `connect`, `disconnected` or `timeout`."""


class Pool:
    """Must be used inside the running loop. Raises nothing to its caller: how a call ended goes to `done`."""

    def __init__(self, host: str, port: int, bound: int, done: Done) -> None:
        self._host = host
        self._port = port
        self._bound = bound
        self._done = done
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._waiting: deque[Call] = deque()
        self._opening: set[asyncio.Task[_Connection | None]] = set()
        self.most_open = 0
        self.starved = 0

    def submit(self, call: Call) -> None:
        """Send on an idle connection, or as soon as there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                self._start(connection, call)
                return
        self._waiting.append(call)
        if not self._open_if_needed():
            self.starved += 1

    def expire(self, due_before: float) -> None:
        """Give up on calls that were due before this moment."""
        for connection in [c for c in self._busy if c.call is not None and c.call.due < due_before]:
            call, connection.call = connection.call, None
            self._busy.discard(connection)
            connection.abort()
            if call is not None:
                self._done(call, None, "timeout")
        while self._waiting and self._waiting[0].due < due_before:
            self._done(self._waiting.popleft(), None, "timeout")

    def close(self) -> None:
        """Cut every connection and stop opening more. Calls still under way are dropped without a word."""
        for task in self._opening:
            task.cancel()
        for connection in (*self._idle, *self._busy):
            connection.call = None
            connection.abort()
        self._idle.clear()
        self._busy.clear()

    def _open_if_needed(self) -> bool:
        """See to it that each waiting call has a connection on its way to it; False if the bound is in the way."""
        if len(self._opening) >= len(self._waiting):
            return True
        connections = len(self._busy) + len(self._opening)
        if connections >= self._bound:
            return False
        self.most_open = max(self.most_open, connections + 1)
        task = asyncio.get_running_loop().create_task(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opened)
        return True

    async def _open(self) -> "_Connection | None":
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self._host, self._port
            )
        except OSError:
            return None
        return connection

    def _opened(self, task: asyncio.Task["_Connection | None"]) -> None:
        self._opening.discard(task)
        if task.cancelled():
            return
        connection = task.result()
        if connection is not None:
            self.free(connection)
        elif self._waiting:
            self._done(self._waiting.popleft(), None, "connect")

    def free(self, connection: "_Connection") -> None:
        """A connection has nothing to do: give it the call that has waited longest."""
        self._busy.discard(connection)
        if not connection.usable:
            self._open_if_needed()
        elif self._waiting:
            self._start(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def answered(self, connection: "_Connection", call: Call, answer: Answer) -> None:
        self.free(connection)
        self._done(call, answer, "")

    def lost(self, connection: "_Connection", call: Call | None) -> None:
        """A connection is gone, with the call it carried, if any."""
        self._busy.discard(connection)
        self._open_if_needed()
        if call is not None:
            self._done(call, None, "disconnected")

    def _start(self, connection: "_Connection", call: Call) -> None:
        self._busy.add(connection)
        connection.start(call)


class _Connection(asyncio.Protocol):
    def __init__(self, pool: Pool) -> None:
        self.call: Call | None = None
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._retry_after: bytes | None = None
        self.usable = False

    def start(self, call: Call) -> None:
        assert self._transport is not None
        self.call = call
        call.sent = time.monotonic()
        self._transport.write(call.payload)

    def abort(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._transport = None
        self._parser = None  # the parser refers back to us
        call, self.call = self.call, None
        self._pool.lost(self, call)

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort()

    def on_message_begin(self) -> None:
        self._body = []
        self._retry_after = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 11 and name.lower() == b"retry-after":
            self._retry_after = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        call = self.call
        if call is None or self._parser is None:
            self.abort()  # an answer nobody asked for
            return
        self.call = None
        answer = Answer(self._parser.get_status_code(), b"".join(self._body), self._retry_after)
        if not self._parser.should_keep_alive():
            self.abort()
        self._pool.answered(self, call, answer)
