"""HTTP to clinics: one shared session a worker, and the one boundary at which its exceptions become ours."""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from clinic_adapter.errors import ClinicError, ClinicOutcomeUnknown, ClinicUnavailable
from clinic_adapter.gateway import Check
from waiting_room.telemetry import tracing

REPLY_MAX_BYTES = 65_536
CONNECT_SECONDS = 3.0
RETRY_AFTER_MAX_SECONDS = 86_400.0
"""No booking waits so long for its clinic. Who says more means something else, such as the time of day."""
KEEP_ALIVE_SECONDS = 4.0
"""Below the 5 s after which common servers drop an idle connection: a POST that meets the drop is ambiguous."""

_SECONDS_NEVER_ROUNDED_UP = 1e6  # aiohttp rounds deadlines above this threshold up to whole seconds
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status. ``retry_after_seconds`` is its Retry-After, seen from now."""

    status: int
    body: bytes
    retry_after_seconds: float | None


@dataclass(slots=True)
class _Departure:
    """Knows whether a request's bytes may have left."""

    check: Check
    has_body: bool
    left: bool = False
    forbidden: Exception | None = None

    def go(self) -> None:
        if self.left:
            return
        try:
            self.check()
        except Exception as error:
            self.forbidden = error
            raise
        self.left = True


class Transport:
    """Sends requests to clinics, each with the same deadline; opened by ``open_transport``."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def exchange(
        self, method: str, url: URL, check: Check, *, key: str | None = None, body: bytes | None = None
    ) -> Reply:
        """One request and its complete answer. ``key`` goes out as Idempotency-Key, ``body`` is JSON.

        ``check`` runs right before the first byte is written; what it raises is raised here, and nothing was sent.
        Raises ClinicUnavailable if nothing was sent, ClinicOutcomeUnknown if something may have been.
        """
        departure = _Departure(check, has_body=body is not None)
        headers = tracing.outgoing_headers()
        if key is not None:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=departure
            ) as response:
                retry_after = response.headers.get("Retry-After")
                return Reply(response.status, await _bounded(response), _seconds_until(retry_after))
        except (aiohttp.ClientError, HttpProcessingError, OSError, UnicodeError) as error:  # the last: of a host's name
            if departure.forbidden is not None:
                raise departure.forbidden from None
            raise translated(error, departure.left) from error


@asynccontextmanager
async def open_transport(*, calls_max: int, call_seconds: float, token: str | None = None) -> AsyncIterator[Transport]:
    """A transport for ``calls_max`` calls at once, each ended after ``call_seconds`` from its first try to connect.
    ``token`` goes out with each, as a bearer's.
    """
    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(_headers_ready)
    tracing.on_request_chunk_sent.append(_body_ready)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=calls_max, keepalive_timeout=KEEP_ALIVE_SECONDS, socket_factory=_socket_that_resets
        ),
        timeout=aiohttp.ClientTimeout(
            total=call_seconds,
            sock_connect=min(CONNECT_SECONDS, call_seconds),
            ceil_threshold=_SECONDS_NEVER_ROUNDED_UP,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "waiting-room"} | ({"Authorization": f"Bearer {token}"} if token else {}),
        skip_auto_headers=("Accept-Encoding",),
        trace_configs=[tracing],
    )
    async with session:
        yield Transport(session)


def translated(error: Exception, left: bool) -> ClinicError:
    """What a foreign exception means; ``left``: bytes may have reached the clinic."""
    what = type(error).__name__
    return ClinicOutcomeUnknown(what) if left else ClinicUnavailable(what)


async def _headers_ready(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    """aiohttp keeps the headers back until the body is there, and writes both together."""
    departure: _Departure = context.trace_request_ctx
    if not departure.has_body:
        departure.go()


async def _body_ready(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    departure: _Departure = context.trace_request_ctx
    departure.go()


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > REPLY_MAX_BYTES:
            raise aiohttp.ClientPayloadError("the answer is too long")
        parts.append(part)
    return b"".join(parts)


def _seconds_until(retry_after: str | None) -> float | None:
    """Of both forms of RFC 9110, 10.2.3, at most RETRY_AFTER_MAX_SECONDS; None for anything else."""
    if retry_after is None:
        return None
    if retry_after.isdecimal():
        seconds = float(retry_after)
        return min(seconds, RETRY_AFTER_MAX_SECONDS) if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), RETRY_AFTER_MAX_SECONDS)


def _socket_that_resets(address: Any) -> socket.socket:
    """Closing discards what is still unsent: a request given up on must not be delivered when a network heals.

    Without this the kernel goes on for minutes, and the clinic would book long after its ``settle_seconds``.
    """
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    return made
