"""A webhook endpoint on a socket, as a clinic would run one; signatures checked by code that is not ours."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from tests.support.world import MASTER_KEY
from waiting_room.envelope import Envelope, master_key
from waiting_room.store import webhook_secrets
from waiting_room.store.pool import Connection
from waiting_room.store.webhook_secrets import NewSecret
from waiting_room.webhook_signing import new_keys, seal

ENVELOPE = Envelope(master_key(MASTER_KEY))
EVERYTHING = ("booking.accepted", "booking.held", "booking.confirmed", "booking.rejected", "booking.cancelled")


@dataclass
class Received:
    webhook_id: str
    path: str
    payload: dict[str, Any]
    at: float
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Endpoint:
    """``answers`` are given one after the other, then 204; ``hang`` answers nothing at all."""

    endpoint_id: str
    answers: Iterator[tuple[int, dict[str, str]]] = field(default_factory=lambda: iter(()))
    hang: bool = False
    secret: str = field(default_factory=lambda: "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode())
    received: list[Received] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.text()
        Webhook(self.secret).verify(body, dict(request.headers))  # raises: answered with 500, and not received
        now = asyncio.get_running_loop().time()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(headers["webhook-id"], request.path, json.loads(body), now, body, headers))
        if self.hang:
            await asyncio.Event().wait()
        status, headers = next(self.answers, (204, {}))
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def listening(endpoint: Endpoint) -> AsyncIterator[Endpoint]:
    """The endpoint at work under ``endpoint.url``."""
    app = web.Application()
    app.router.add_post("/{path:.*}", endpoint.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        endpoint.url = f"http://{host}:{port}/hooks"
        yield endpoint
    finally:
        await runner.cleanup()


async def register(
    conn: Connection,
    endpoint: Endpoint,
    owner_kind: str,
    owner_id: str,
    events: tuple[str, ...] = EVERYTHING,
    payload: str = "thin",
) -> None:
    """Have this endpoint told of these events from now on."""
    await conn.execute(
        "INSERT INTO webhook_endpoints (endpoint_id, owner_kind, owner_id, url, events, payload) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        endpoint.endpoint_id,
        owner_kind,
        owner_id,
        endpoint.url,
        events,
        payload,
    )
    sealed = seal(ENVELOPE, endpoint.endpoint_id, new_keys(endpoint.secret))
    await webhook_secrets.replace(conn, [NewSecret(endpoint.endpoint_id, "first", *sealed)], 0.0)
