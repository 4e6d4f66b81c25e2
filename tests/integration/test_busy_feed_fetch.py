"""A calendar is fetched from where its address says, no further, no longer and no more than that."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp.abc import AbstractResolver

from tests.integration.test_webhook_guard import Rebinding
from tests.support.calendar_server import SECRET, CalendarServer, publishing
from waiting_room.domain.addresses import networks_of
from waiting_room.domain.busy_feeds import Seen
from workers.busy_feeds.fetch import Fetched, Fetcher, NotFetched

HERE = "127.0.0.0/8"
MOST = 100_000


@pytest.fixture
async def server() -> AsyncIterator[CalendarServer]:
    async with publishing(CalendarServer(body=b"BEGIN:VCALENDAR")) as server:
        yield server


async def get(
    url: str,
    seen: Seen | None = None,
    *,
    allow: str = HERE,
    resolver: AbstractResolver | None = None,
    seconds: float = 60.0,
) -> Fetched | None:
    async with Fetcher(seconds, MOST, networks_of(allow), resolver) as fetcher:
        return await fetcher.get(url, seen or Seen())


async def why_not(url: str, **more: object) -> str:
    with pytest.raises(NotFetched) as refused:
        await get(url, **more)  # type: ignore[arg-type]
    assert SECRET not in str(refused.value)
    assert "127.0.0.1" not in str(refused.value)
    return str(refused.value)


async def test_what_is_there_is_fetched_once(server: CalendarServer) -> None:
    server.etag, server.headers = '"1"', {"Last-Modified": "Thu, 26 Nov 2026 09:00:00 GMT"}
    fetched = await get(server.url)
    assert fetched == Fetched(server.body, '"1"', "Thu, 26 Nov 2026 09:00:00 GMT")
    assert fetched is not None
    assert await get(server.url, Seen(fetched.etag, fetched.last_modified)) is None
    (path, first), (_, second) = server.asked
    assert path == f"/{SECRET}/basic.ics?of=a%40b", "as it was put: it may be signed"
    assert not {"If-None-Match", "If-Modified-Since", "Cookie"} & first.keys()
    assert (second["If-None-Match"], second["If-Modified-Since"]) == ('"1"', "Thu, 26 Nov 2026 09:00:00 GMT")


async def test_a_header_that_cannot_be_kept_is_not_sent_back(server: CalendarServer) -> None:
    server.headers = {"ETag": f'"{"x" * 600}"', "Last-Modified": "g\xe4stern"}
    assert await get(server.url) == Fetched(server.body, None, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "169.254.169.254"])
async def test_an_address_inside_is_refused_however_it_is_written(server: CalendarServer, host: str) -> None:
    assert await why_not(server.url.replace("127.0.0.1", host), allow="") == "Its address is not public."
    assert server.asked == []


async def test_a_name_that_is_public_first_and_private_then_is_refused(server: CalendarServer) -> None:
    resolver = Rebinding("203.0.113.7", "127.0.0.1")
    await resolver.resolve("calendar.example")  # what a look at it when it was put would have seen
    url = server.url.replace("127.0.0.1", "calendar.example")
    assert await why_not(url, allow="10.0.0.0/8", resolver=resolver) == "Its address is not public."
    assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(server: CalendarServer, status: int) -> None:
    async with publishing() as inside:
        server.status, server.headers = status, {"Location": inside.url}
        assert "names another address" in await why_not(server.url)
        assert inside.asked == []


@pytest.mark.parametrize(
    ("status", "words"), [(404, "was withdrawn"), (403, "was withdrawn"), (500, "answers 500."), (304, "answers 304")]
)
async def test_a_refusal_is_told_in_words(server: CalendarServer, status: int, words: str) -> None:
    server.status = status
    assert words in await why_not(server.url)


async def test_what_is_packed_is_unpacked(server: CalendarServer) -> None:
    plain, server.headers = b"BEGIN:VCALENDAR\r\n" * 1_000, {"Content-Encoding": "gzip"}
    server.body = gzip.compress(plain)
    assert await get(server.url) == Fetched(plain, None, None)
    server.body = server.body[:-20]
    assert await why_not(server.url) == "It ends before its end."
    server.body = b"BEGIN:VCALENDAR"
    assert await why_not(server.url) == "It says that it is packed, and is not."
    server.headers = {"Content-Encoding": "br"}
    assert await why_not(server.url) == "It is packed in another way than gzip."


async def test_no_more_is_read_or_unpacked_than_may_be(server: CalendarServer) -> None:
    server.body = b"x" * MOST
    assert await get(server.url) == Fetched(server.body, None, None)
    server.body = b"x" * (MOST + 1)
    assert await why_not(server.url) == f"It is longer than {MOST} bytes."
    pack = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    server.body = b"".join([*(pack.compress(bytes(1_000_000)) for _ in range(50)), pack.flush()])
    assert len(server.body) < MOST, "50 MB in few bytes"
    server.headers = {"Content-Encoding": "gzip"}
    assert await why_not(server.url) == f"It is longer than {MOST} bytes."


async def test_who_cannot_be_asked_is_told_in_words(server: CalendarServer) -> None:
    assert "no certificate" in await why_not(server.url.replace("http:", "https:"))
    assert await why_not("http://127.0.0.1:9/") == "Its server cannot be reached."
    assert "cannot be read" in await why_not(f"gopher://127.0.0.1/{SECRET}")
    server.hang = True
    assert await why_not(server.url, seconds=0.2) == "Its server takes longer than 0.2 s."
