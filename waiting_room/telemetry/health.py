"""A worker process's own small HTTP server: /metrics, /healthz, /readyz.

It runs on the process's one event loop, so an answer from /healthz proves that the loop turns; how late it turns is
in the answer and in ``waiting_room_event_loop_lag_seconds``. A role is ready when its own code says so
(``say_ready``), which any module may call, as it may count a metric.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection

import structlog
from aiohttp import web

from waiting_room.telemetry import metrics
from waiting_room.telemetry.exposition import page
from waiting_room.telemetry.loop_lag import LoopLag

log = structlog.get_logger(__name__)

_ready: set[str] = set()


def say_ready(role: str, *, ready: bool = True) -> None:
    """Have /readyz count ``role`` as ready, or no longer."""
    (_ready.add if ready else _ready.discard)(role)
    metrics.READY.labels(role).set(ready)


class MetricsServer:
    """Serves this process's metrics on a port of its own; ``bound``: to that very port already, by who started us."""

    def __init__(self, host: str, port: int, bound: socket.socket | None = None) -> None:
        self._host = host
        self._port = port
        self._bound = bound

    async def run(self, finish: asyncio.Event) -> None:
        """Serve until told to finish. Raises OSError if the port cannot be had."""
        app = web.Application()
        app.add_routes(self._routes())
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.SockSite(runner, self._bound) if self._bound else web.TCPSite(runner, self._host, self._port)
            await site.start()
            log.info("health_served", host=self._host, port=self._port)
            await self._meanwhile(finish)
        finally:
            await runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self._metrics)]

    async def _meanwhile(self, finish: asyncio.Event) -> None:
        await finish.wait()

    async def _metrics(self, request: web.Request) -> web.Response:
        text, content_type = page(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})


class HealthServer(MetricsServer):
    """Serves what this process says of itself; ``roles`` are those that /readyz waits for."""

    def __init__(self, host: str, port: int, roles: Collection[str], bound: socket.socket | None = None) -> None:
        super().__init__(host, port, bound)
        self._roles = frozenset(roles)
        self._lag = LoopLag()

    def _routes(self) -> list[web.RouteDef]:
        return [*super()._routes(), web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]

    async def _meanwhile(self, finish: asyncio.Event) -> None:
        await self._lag.run(finish)

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "event_loop_lag_seconds": round(self._lag.seconds, 4)})

    async def _readyz(self, request: web.Request) -> web.Response:
        missing = sorted(self._roles - _ready)
        return web.json_response(
            {"status": "not ready" if missing else "ready", "waiting_for": missing}, status=503 if missing else 200
        )
