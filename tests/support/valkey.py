"""A Valkey for one test module: what one test's ingress lent must not be borrowed by another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from devstack.valkey_server import ValkeyServer
from tests.stack import server_folder


@asynccontextmanager
async def valkey_for_tests() -> AsyncIterator[ValkeyServer]:
    """Fresh, and gone afterwards."""
    server = ValkeyServer(server_folder("valkey"))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
