"""Fetches a calendar from an address that a clinic has put: through the guard that webhooks go through, no further than
it leads, and no more than so much.

What is told of a failure quotes neither the address, which is a secret, nor the answer, which may name patients.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Final, NamedTuple

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
)
from aiohttp.abc import AbstractResolver
from yarl import URL

from waiting_room.domain.addresses import Network
from waiting_room.domain.busy_feeds import Seen, validator
from workers.webhooks.connect import AddressRefused, Resolver, guarded_connector

CHUNK_BYTES: Final = 65_536
_GONE: Final = frozenset({401, 403, 404, 410})


class NotFetched(Exception):
    """Why, in one sentence for whoever put the address."""


class Fetched(NamedTuple):
    calendar: bytes
    etag: str | None
    last_modified: str | None


class Fetcher:
    """An HTTP client for servers nobody here controls: no redirects, cookies, proxies or large answers."""

    def __init__(
        self,
        timeout_seconds: float,
        max_bytes: int,
        allowed: Sequence[Network],
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes
        self._resolver = resolver or Resolver()
        self._session = ClientSession(
            connector=guarded_connector(allowed, self._resolver),
            timeout=ClientTimeout(total=timeout_seconds),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,  # it would unpack first and count then
            trust_env=False,
            read_bufsize=CHUNK_BYTES,
            headers={
                "User-Agent": "waiting-room-calendars/1",
                "Accept": "text/calendar, */*;q=0.1",
                "Accept-Encoding": "gzip",
            },
        )

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._resolver.close()

    async def get(self, url: str, seen: Seen) -> Fetched | None:
        """What is there now; None where it is what was ``seen``. Raises NotFetched."""
        conditions = {"If-None-Match": seen.etag, "If-Modified-Since": seen.last_modified}
        headers = {name: value for name, value in conditions.items() if value is not None}
        try:
            # As it was put: an address may be signed.
            address = URL(url, encoded=True)
            async with self._session.get(address, headers=headers, allow_redirects=False) as response:
                if response.status == HTTPStatus.NOT_MODIFIED and headers:
                    return None
                if response.status != HTTPStatus.OK:
                    raise NotFetched(_refused(response))
                calendar = await self._read(response)
                etag, last_modified = (validator(response.headers.get(each)) for each in ("ETag", "Last-Modified"))
                return Fetched(calendar, etag, last_modified)
        except TimeoutError as error:
            raise NotFetched(f"Its server takes longer than {self._timeout_seconds:g} s.") from error
        except ClientSSLError as error:
            raise NotFetched("Its server has no certificate that is valid here.") from error
        except ClientConnectorDNSError as error:
            raise NotFetched("There is no server of that name.") from error
        except ClientConnectorError as error:
            guarded = isinstance(error.os_error, AddressRefused)
            raise NotFetched("Its address is not public." if guarded else "Its server cannot be reached.") from error
        except (ClientError, OSError, ValueError) as error:
            raise NotFetched(f"Its server's answer cannot be read ({type(error).__name__}).") from error

    async def _read(self, response: ClientResponse) -> bytes:
        """All of it, unpacked as it comes, so that no more is unpacked than may be. Raises NotFetched, ClientError."""
        packing = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packing not in ("identity", "gzip", "x-gzip"):
            raise NotFetched("It is packed in another way than gzip.")
        unpack = None if packing == "identity" else zlib.decompressobj(zlib.MAX_WBITS | 16)
        read, received = bytearray(), 0
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            received += len(chunk)
            read += chunk if unpack is None else _unpacked(unpack, chunk, self._max_bytes + 1 - len(read))
            if max(received, len(read)) > self._max_bytes:
                raise NotFetched(f"It is longer than {self._max_bytes} bytes.")
        if unpack is not None and not unpack.eof:
            raise NotFetched("It ends before its end.")
        return bytes(read)


def _unpacked(unpack: zlib._Decompress, chunk: bytes, most: int) -> bytes:
    """Raises NotFetched."""
    try:
        return unpack.decompress(chunk, most)
    except zlib.error as error:
        raise NotFetched("It says that it is packed, and is not.") from error


def _refused(response: ClientResponse) -> str:
    status = response.status
    if status in _GONE:
        return f"Its server answers {status}: the address is wrong, or was withdrawn."
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"Its server answers {status} and names another address, which is not followed: put that one."
    return f"Its server answers {status}."
