"""A small HTTP/1.1 server for the simulators: one handler, called once a complete request is in.

It shares the machine with the system under test, so it does no more than HTTP asks for: no routing, no
middleware, no task a request. A handler answers at once, or keeps the exchange and answers later, or never:
hanging up and staying silent are things a simulated clinic must be able to do.
"""

import asyncio
import json
import logging
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import cast

import httptools

JSON = b"application/json"
JSON_LINES = b"application/x-ndjson"
PROBLEM = b"application/problem+json"

MAX_BODY_BYTES = 1 << 20
_BACKLOG = 4096
_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_NO_BODY = frozenset({204, 304})

log = logging.getLogger(__name__)


class Exchange:
    """One request, to be ended by `answer` or `cut`, once; what comes later, or after the peer left, does
    nothing.

    `path` is the raw request path without its query; header names are lower case.
    """

    __slots__ = ("_connection", "_on_gone", "body", "headers", "method", "path", "query")

    def __init__(
        self,
        connection: "_Connection",
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
    ) -> None:
        self._connection: _Connection | None = connection
        self._on_gone: Callable[[], None] | None = None
        self.method = method
        self.path, _, self.query = target.partition(b"?")
        self.headers = headers
        self.body = body

    def answer(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = JSON,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Send the response. `status` is one the standard library knows; 204 and 304 go without a body."""
        connection = self._connection
        if connection is None:
            return
        head = _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unnamed\r\n" % status
        for name, value in headers:
            head += b"%b: %b\r\n" % (name, value)
        self._connection = None
        if status in _NO_BODY:
            connection.finish(head + b"\r\n")
        else:
            told = (head, content_type, len(body), body)
            connection.finish(b"%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % told)

    def cut(self) -> None:
        """Drop the connection without an answer; the peer sees it reset or closed in mid-request."""
        connection = self._connection
        self._connection = None
        if connection is not None:
            connection.abort()

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Have `callback` called if the peer leaves unanswered; at once if it already has."""
        if self._connection is None:
            callback()
        else:
            self._on_gone = callback

    def abandoned(self) -> None:
        """The connection's word that the peer has left. Not for handlers."""
        self._connection = None
        callback, self._on_gone = self._on_gone, None
        if callback is not None:
            callback()


Handler = Callable[[Exchange], None]


class _Connection(asyncio.Protocol):
    """One keep-alive connection. Requests that arrive before the last one was answered wait their turn."""

    def __init__(self, handler: Handler, open_connections: set["_Connection"]) -> None:
        self._handler = handler
        self._open = open_connections
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._current: Exchange | None = None
        self._waiting: deque[tuple[Exchange, bool]] = deque()
        self._keep_alive = True
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in deed, not by inheritance
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._transport = None
        self._parser = None  # the parser refers back to us
        current, self._current = self._current, None
        self._waiting.clear()
        if current is not None:
            current.abandoned()

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        if self._parser is None:  # refused already; the rest of this read still passes through here
            return
        self._body += body
        if len(self._body) > MAX_BODY_BYTES:
            self._refuse(b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    def on_message_complete(self) -> None:
        if self._parser is None:
            return
        exchange = Exchange(self, self._parser.get_method(), self._target, self._headers, self._body)
        self._target = b""
        self._headers = {}
        self._body = b""
        keep_alive = self._parser.should_keep_alive()
        if self._current is None and not self._waiting:
            self._begin(exchange, keep_alive)
        else:
            self._waiting.append((exchange, keep_alive))

    def _begin(self, exchange: Exchange, keep_alive: bool) -> None:
        self._current = exchange
        self._keep_alive = keep_alive
        try:
            self._handler(exchange)
        except Exception:
            log.exception("handler failed on %s %s", exchange.method, exchange.path)
            exchange.answer(500)

    def finish(self, response: bytes) -> None:
        """Write the answer to the current exchange, then take up the next."""
        self._current = None
        if self._transport is None:
            return
        self._transport.write(response)
        if not self._keep_alive:
            self._transport.close()
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        if self._waiting and self._current is None:
            self._begin(*self._waiting.popleft())

    def abort(self) -> None:
        """Close at once, whatever is still unsent."""
        self._current = None
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, response: bytes) -> None:
        self._parser = None
        if self._transport is not None:
            self._transport.write(response)
            self._transport.close()


@asynccontextmanager
async def listening(handler: Handler, port: int, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve while the block runs; yields the port (0 takes a free one). Leaving cuts what is still open.

    Raises OSError if the port is taken.
    """
    open_connections: set[_Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(handler, open_connections), host, port, backlog=_BACKLOG)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(open_connections):
            connection.abort()
        await server.wait_closed()


async def serve_until_signalled(handler: Handler, port: int, host: str = "127.0.0.1") -> None:
    """Serve until SIGINT or SIGTERM; prints one JSON line with the address once connections are accepted."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with listening(handler, port, host) as bound:
        print(json.dumps({"listening": f"http://{host}:{bound}"}), flush=True)
        await stopped.wait()
