"""The HTTP server: uvicorn's, but it lets callers in as fast as they come and says when it stops."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys

import structlog
import uvicorn

log = structlog.get_logger(__name__)

BACKLOG = 2_048
"""New connections the kernel keeps for us; the system's own bound (somaxconn) may be lower."""

LET_IN_AT_ONCE = 128
"""Before those that are in get their turn."""

VANISHED_SECONDS = 60
"""A caller whose machine has not taken what it was sent for so long is gone, without having said so. Streams send
something every fifteen seconds; the system itself would try for a quarter of an hour.
"""

NO_ROOM_SECONDS = 0.5
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""A name may have an IPv6 address where the machine has no IPv6."""


class Server(uvicorn.Server):
    """Accepts connections itself, many a turn of the loop.

    uvloop accepts one a turn and listening socket. When thousands come at once a turn takes 10 ms and more, and the
    last of them would wait for many seconds before anything of ours has seen them.
    """

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, *, shared: bool = False) -> None:
        super().__init__(config)
        self._shared = shared
        self._stopping = stopping
        self._doors: list[socket.socket] = []
        self._entering: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, start the application, then let callers in; who comes in between waits in the backlog."""
        doors = listen(self.config.host, self.config.port, shared=self._shared)
        await super().startup(sockets=[])
        self._doors = doors
        for door in doors:
            self._open(door)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams end before uvicorn waits for them."""
        self._stopping.set()
        for door in self._doors:
            asyncio.get_running_loop().remove_reader(door)
            door.close()
        self._doors.clear()
        await super().shutdown(sockets)

    def _open(self, door: socket.socket) -> None:
        if door in self._doors:
            asyncio.get_running_loop().add_reader(door, self._let_in, door)

    def _let_in(self, door: socket.socket) -> None:
        for _ in range(LET_IN_AT_ONCE):
            try:
                caller, _ = door.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                log.error("no_room_for_connections", error=error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(door)
                loop.call_later(NO_ROOM_SECONDS, self._open, door)
                return
            caller.setblocking(False)
            entering = asyncio.create_task(self._enter(caller), name="connection")
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)

    async def _enter(self, caller: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, caller)
        except OSError:  # gone already
            caller.close()

    def _protocol(self) -> asyncio.Protocol:
        kind = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]


def listen(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """A listening socket for each address of ``host`` this machine has. None at all ends the process with a line.

    ``shared``: with other processes that share it too; the kernel deals callers out among them.
    """
    doors = []
    why: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            try:
                doors.append(socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=shared))
            except OSError as error:
                why = error
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
    except OSError as error:
        why, doors = error, []
    if not doors and why is not None:
        told = why.strerror if isinstance(why, socket.gaierror) else os.strerror(why.errno or 0)
        sys.exit(f"cannot listen on {host} port {port}: {told}")
    for door in doors:
        door.setblocking(False)
        if sys.platform == "linux":  # who comes in has it from the door
            door.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_SECONDS * 1_000)
    return doors
