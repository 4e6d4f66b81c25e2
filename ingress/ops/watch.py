"""Asks the other processes what they say, while somebody looks at /ops; all who look share one round."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec
from prometheus_client import generate_latest

from ingress.directory import Directory
from ingress.line import Lines
from ingress.ops.essentials import Essentials, essentials
from ingress.ops.samples import Window, key, read, together

EVERY_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 1.0
TARGETS: Final = "/targets"
"""How an address ends at which a supervisor lists its workers, as Prometheus discovers them."""


class _Listed(msgspec.Struct):
    targets: list[str]


def urls_of(setting: str) -> tuple[str, ...]:
    """The addresses of a comma-separated list."""
    return tuple(filter(None, (part.strip() for part in setting.split(","))))


class OpsWatch:
    """``look`` as often as you like: it asks again every EVERY_SECONDS at most."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._window = Window()
        self._at = float("-inf")
        self._silent: list[str] = []
        self._asking = asyncio.Lock()
        self._accepted: tuple[float, float] | None = None
        self._accepted_a_minute: float | None = None

    async def look(self, lines: Lines, directory: Directory) -> Essentials:
        """How things stand. A process that does not answer within ANSWER_SECONDS is left out, and said so."""
        async with self._asking:
            now = time.monotonic()
            if now - self._at >= EVERY_SECONDS * 0.9:
                self._at = now
                await self._ask(now)

        def name_of(clinic_id: str) -> str:
            site = directory.clinic(clinic_id)
            return site.clinic.name if site else ""

        return essentials(self._window, lines, name_of, self._silent, self._accepted_a_minute)

    async def _ask(self, now: float) -> None:
        urls: Sequence[str] = self._urls
        pages: list[str | None] = []
        if urls:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)) as session:
                found = await asyncio.gather(*(_those_at(session, url) for url in urls))
                urls = [url for those in found for url in those]
                pages = await asyncio.gather(*(_page(session, url) for url in urls))
        answered = [page for page in pages if page is not None]
        samples = together([read(page) for page in (generate_latest().decode(), *answered)])
        self._silent = [url for url, page in zip(urls, pages, strict=True) if page is None]
        accepted = samples[key("accept_seconds_count", outcome="accepted")]
        if self._accepted is not None and now > self._accepted[0]:
            self._accepted_a_minute = max(accepted - self._accepted[1], 0.0) / (now - self._accepted[0]) * 60
        self._accepted = now, accepted
        self._window.add(now, samples)


async def _those_at(session: aiohttp.ClientSession, url: str) -> list[str]:
    """The address itself; of a supervisor's list, its own and its workers'. Itself where nobody answers there, so that
    this is said.
    """
    if not url.endswith(TARGETS):
        return [url]
    text = await _page(session, url)
    try:
        listed = msgspec.json.decode(text or "", type=list[_Listed])
    except msgspec.DecodeError:
        return [url]
    workers = [f"http://{target}/metrics" for group in listed for target in group.targets]
    return [f"{url.removesuffix(TARGETS)}/metrics", *workers]


async def _page(session: aiohttp.ClientSession, url: str) -> str | None:
    try:
        async with session.get(url) as response:
            return await response.text() if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
