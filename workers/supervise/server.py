"""The supervisor's own pages: beside /metrics, /healthz and /readyz, where its workers serve theirs."""

from __future__ import annotations

from collections.abc import Callable, Collection

from aiohttp import web

from waiting_room.telemetry.health import HealthServer


class SupervisorServer(HealthServer):
    """``ports``: those of the workers' metrics that run now. Workers come, go and take any port that is free."""

    def __init__(self, host: str, port: int, role: str, ports: Callable[[], Collection[int]]) -> None:
        super().__init__(host, port, (role,))
        self._ports = ports

    def _routes(self) -> list[web.RouteDef]:
        return [*super()._routes(), web.get("/targets", self._targets)]

    async def _targets(self, request: web.Request) -> web.Response:
        """As Prometheus wants it of HTTP service discovery; at the name by which it has found us."""
        host = request.url.host or "127.0.0.1"
        host = f"[{host}]" if ":" in host else host
        return web.json_response([{"targets": [f"{host}:{port}" for port in sorted(self._ports())], "labels": {}}])
