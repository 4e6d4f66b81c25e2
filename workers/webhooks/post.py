"""One attempt over HTTP: what the endpoint answered, or why it could not be asked. Never raises."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    StreamReader,
)
from aiohttp.abc import AbstractResolver

from waiting_room.domain.addresses import Network
from workers.webhooks.connect import AddressRefused, Resolver, guarded_connector
from workers.webhooks.verdict import Answer

RESPONSE_MAX_BYTES = 4_096
RESPONSE_SECONDS = 1.0
"""More of an answer is not read, and not for longer: its status is all that counts."""
RESPONSE_KEPT = 512
"""Characters of it that its owner can read afterwards, to find out what went wrong."""


class Poster:
    """An HTTP client for endpoints nobody here controls: no redirects, cookies, proxies or large answers."""

    def __init__(
        self, timeout_seconds: float, allowed: Sequence[Network], resolver: AbstractResolver | None = None
    ) -> None:
        self._resolver = resolver or Resolver()
        self._session = ClientSession(
            connector=guarded_connector(allowed, self._resolver),
            timeout=ClientTimeout(total=timeout_seconds),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=RESPONSE_MAX_BYTES,
            headers={"User-Agent": "waiting-room-webhooks/1", "Accept": "*/*"},
        )

    async def __aenter__(self) -> Poster:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._resolver.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST and read the answer's status, within the timeout all in all."""
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status, retry_after = response.status, response.headers.get("Retry-After")
                return Answer(status, retry_after=retry_after, response=await _beginning(response.content))
        except TimeoutError:
            return Answer(None, "timeout")
        except ClientSSLError as error:
            return Answer(None, f"no TLS: {type(error).__name__}")
        except ClientConnectorError as error:
            return Answer(None, _why(error.os_error))
        except (ClientError, OSError, ValueError) as error:
            return Answer(None, type(error).__name__)


def _why(error: OSError) -> str:
    if isinstance(error, AddressRefused):
        return "address not public"
    number = error.errno or 0  # a failed look-up of a name has a negative one, and says itself what it means
    return f"not connected: {os.strerror(number) if number > 0 else error.strerror}"


async def _beginning(content: StreamReader) -> str | None:
    """How the body begins. It is read to its end where that is near: then the connection can be used again."""
    if content.at_eof():
        return None
    read, left = b"", RESPONSE_MAX_BYTES
    with suppress(TimeoutError, ClientError):
        async with asyncio.timeout(RESPONSE_SECONDS):
            while left > 0 and (chunk := await content.read(left)):
                left -= len(chunk)
                read += chunk
    return read.decode(errors="replace").replace("\0", "")[:RESPONSE_KEPT] or None
