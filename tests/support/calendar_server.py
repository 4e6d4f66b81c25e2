"""A server on a socket that publishes a calendar, as well or as badly as such servers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiohttp import web

SECRET = "private-5e2f9c"
"""Stands in every address, and nowhere else."""


@dataclass
class CalendarServer:
    """``headers`` go with every answer. ``hang``: it never comes. ``asked``: the headers of each request, by path."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    etag: str | None = None
    hang: bool = False
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    base: str = ""

    @property
    def url(self) -> str:
        return f"{self.base}/{SECRET}/basic.ics?of=a%40b"

    @property
    def conditions(self) -> list[str | None]:
        """The entity tag that each request had seen."""
        return [headers.get("If-None-Match") for _, headers in self.asked]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.raw_path, dict(request.headers)))
        if self.hang:
            await asyncio.Event().wait()
        headers = self.headers | ({"ETag": self.etag} if self.etag else {})
        if self.etag and request.headers.get("If-None-Match") == self.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(status=self.status, body=self.body, headers=headers)


@asynccontextmanager
async def publishing(server: CalendarServer | None = None) -> AsyncIterator[CalendarServer]:
    """It at work, under ``server.url``."""
    server = server or CalendarServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        server.base = f"http://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()


def calendar(*events: str, before: str = "") -> bytes:
    """Events, each its lines with | between them; without a UID of its own it has its number."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test", *filter(None, before.split("|"))]
    for number, event in enumerate(events):
        own = [] if "UID:" in event else [f"UID:{number}"]
        lines += ["BEGIN:VEVENT", *own, *event.split("|"), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


def busy_at(start_at: datetime, *more: str, minutes: int = 60) -> str:
    """An event."""
    end_at = start_at + timedelta(minutes=minutes)
    return "|".join([f"DTSTART:{start_at:%Y%m%dT%H%M%SZ}", f"DTEND:{end_at:%Y%m%dT%H%M%SZ}", *more])
