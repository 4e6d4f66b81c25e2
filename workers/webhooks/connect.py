"""Connections that go to allowed addresses only, whatever a URL, a name server or a redirect says.

The check stands where a socket is made for one concrete address, after the name was resolved. So an address written
into the URL meets it too, and a name that resolves to a public address when it is looked at and to a private one
when it is used ("rebinding") gains nothing.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp import AddrInfoType, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from waiting_room.domain.addresses import Network, address_of, may_reach

RESOLVERS = 32
"""Names looked up at once: one name server that hangs must not hold up the others' names."""


class AddressRefused(OSError):
    """The address is not one that webhooks may reach."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is not public")


class Resolver(AbstractResolver):
    """The system's resolver on threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="webhook names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError if the name has no address."""
        ask = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Does not wait for lookups under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def guarded_connector(allowed: Sequence[Network], resolver: AbstractResolver) -> TCPConnector:
    """A connector to public addresses and ``allowed`` networks; others raise AddressRefused inside aiohttp's error."""
    return TCPConnector(
        resolver=resolver,
        socket_factory=_socket_factory(allowed),
        limit=0,  # the sender bounds what is in flight
        ttl_dns_cache=30,
        keepalive_timeout=15,
    )


def _socket_factory(allowed: Sequence[Network]) -> Callable[[AddrInfoType], socket.socket]:
    def make(info: AddrInfoType) -> socket.socket:
        family, kind, proto, _, address = info
        if not may_reach(address_of(str(address[0])), allowed):
            raise AddressRefused
        return socket.socket(family, kind, proto)

    return make
