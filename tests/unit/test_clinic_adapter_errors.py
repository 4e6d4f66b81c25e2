"""Nothing that an HTTP client can raise, or a clinic can answer, leaves the adapter as anything but ClinicError."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from aiohttp import client_exceptions, http_exceptions
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from clinic_adapter.builtin import Builtin, NoClinicSystem
from clinic_adapter.errors import (
    ClinicCannotLookUp,
    ClinicError,
    ClinicOutcomeUnknown,
    ClinicOverloaded,
    ClinicRefused,
    ClinicUnavailable,
)
from clinic_adapter.factory import gateway_to
from clinic_adapter.gateway import Call
from clinic_adapter.rest import Rest
from clinic_adapter.transport import REPLY_MAX_BYTES, RETRY_AFTER_MAX_SECONDS, open_transport, translated
from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.domain.directory import AdapterKind
from waiting_room.messages import Patient

REF = "000A-7K2M-Q8ZT-3WNC-H5VD"
START = datetime(2026, 11, 23, 9, tzinfo=UTC)
CALL = Call(REF, 1, "p", 0, "flu", START, START + timedelta(minutes=15), Patient(id="p-1"))
BOUNDARY = (aiohttp.ClientError, HttpProcessingError, OSError)


def yes() -> None:
    """A check that never forbids."""


def test_every_exception_of_the_client_meets_the_boundary() -> None:
    ours = [
        each
        for module in (client_exceptions, http_exceptions)
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Exception) and each.__module__ == module.__name__
    ]
    not_of_a_request = {"WSMessageTypeError", "InvalidHeader", "InvalidURLError"}
    unmapped = [each.__name__ for each in ours if not issubclass(each, BOUNDARY)]
    assert set(unmapped) <= not_of_a_request
    assert len(ours) > 20
    for raised in (TimeoutError(), ssl.SSLError(), ConnectionResetError(), aiohttp.ClientPayloadError()):
        assert isinstance(raised, BOUNDARY)
        assert type(translated(raised, left=False)) is ClinicUnavailable
        assert type(translated(raised, left=True)) is ClinicOutcomeUnknown


@asynccontextmanager
async def answering(raw: bytes, *, then: str = "close", call_seconds: float = 60.0) -> AsyncIterator[Rest]:
    """A clinic that reads a request and answers with these bytes, whatever it was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(raw)
        if then == "close":
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_transport(calls_max=5, call_seconds=call_seconds) as http:
        yield Rest(http, f"http://127.0.0.1:{port}/c/")


def reply(status: str, body: str = "", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


OTHER = '{"booking_ref":"000A-0000-0000-0000-0000","revision":1,"clinic_booking_id":"x"}'
GARBAGE = {
    "no answer": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "half a head": b"HTTP/1.1 201 Crea",
    "half a body": b'HTTP/1.1 201 Created\r\ncontent-length: 90\r\n\r\n{"booking_ref"',
    "bad length": b"HTTP/1.1 201 Created\r\ncontent-length: many\r\n\r\n{}",
    "bad chunk": b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "bad compression": b"HTTP/1.1 201 Created\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
    "long header": b"HTTP/1.1 201 Created\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    "too long": reply("201 Created", " " * (REPLY_MAX_BYTES + 1)),
    "not JSON": reply("201 Created", "<html>"),
    "not UTF-8": b'HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\n{"\xff":',
    "empty": reply("200 OK"),
    "another booking": reply("200 OK", OTHER),
    "no text": reply("200 OK", OTHER.replace('"x"', '"\\u0000"').replace("000A-0000-0000-0000-0000", REF)),
    "accepted": reply("202 Accepted", OTHER),
    "another 5xx": reply("502 Bad Gateway", "<html>"),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_leaves_the_outcome_open(raw: bytes) -> None:
    async with answering(raw) as gateway:
        with pytest.raises(ClinicOutcomeUnknown):
            await gateway.confirm(CALL, yes)
        if not raw.startswith(b"HTTP/1.1 20"):  # a withdrawal needs no body to be acknowledged
            with pytest.raises(ClinicOutcomeUnknown):
                await gateway.withdraw(REF, 1, yes)
        with pytest.raises(ClinicUnavailable):
            await gateway.look_up(REF, 1, yes)


@pytest.mark.parametrize("address", ["http://a..b/c", f"http://{'a' * 64}.example/c", "http:///c", "ftp://a/c"])
async def test_an_address_that_leads_nowhere_is_a_clinic_that_is_not_reached(address: str) -> None:
    async with open_transport(calls_max=1, call_seconds=0.5) as http:
        with pytest.raises(ClinicUnavailable):
            await Rest(http, address).confirm(CALL, yes)


async def test_silence_leaves_the_outcome_open() -> None:
    async with answering(b"", then="stay silent", call_seconds=1.0) as gateway:
        with pytest.raises(ClinicOutcomeUnknown, match="Timeout"):
            await gateway.confirm(CALL, yes)


STATUSES: list[tuple[str, type[ClinicError]]] = [
    ("301 Moved Permanently", ClinicUnavailable),
    ("400 Bad Request", ClinicUnavailable),
    ("401 Unauthorized", ClinicUnavailable),
    ("404 Not Found", ClinicUnavailable),
    ("409 Conflict", ClinicRefused),
    ("422 Unprocessable Content", ClinicRefused),
    ("429 Too Many Requests", ClinicOverloaded),
    ("500 Internal Server Error", ClinicOutcomeUnknown),
    ("501 Not Implemented", ClinicOutcomeUnknown),
    ("503 Service Unavailable", ClinicOverloaded),
    ("504 Gateway Timeout", ClinicOutcomeUnknown),
]


@pytest.mark.parametrize(("status", "meaning"), STATUSES)
async def test_what_a_status_means_for_a_booking(status: str, meaning: type[ClinicError]) -> None:
    async with answering(reply(status, "<html>", "location: http://127.0.0.1:1/")) as gateway:
        with pytest.raises(ClinicError) as failure:
            await gateway.confirm(CALL, yes)
        assert type(failure.value) is meaning


@pytest.mark.parametrize("status", ["405 Method Not Allowed", "501 Not Implemented"])
async def test_a_clinic_that_cannot_be_asked(status: str) -> None:
    async with answering(reply(status)) as gateway:
        with pytest.raises(ClinicCannotLookUp):
            await gateway.look_up(REF, 1, yes)


async def test_what_a_clinic_says_in_words_of_its_own_is_in_no_message() -> None:
    async with answering(reply("409 Conflict", '{"reason": "Ann Lee has it"}')) as gateway:
        with pytest.raises(ClinicUnavailable, match=r"^status 409$"):
            await gateway.look_up(REF, 1, yes)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("soon", None),
        ("-1", None),
        ("9" * 400, None),
        ("1764144000000", RETRY_AFTER_MAX_SECONDS),  # a clock's milliseconds
        ("Mon, 01 Jan 2024 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX_SECONDS),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
    ],
)
async def test_when_to_come_back(header: str, seconds: float | None) -> None:
    async with answering(reply("503 Busy", "", f"retry-after: {header}")) as gateway:
        with pytest.raises(ClinicOverloaded) as overload:
            await gateway.confirm(CALL, yes)
        assert overload.value.retry_after_seconds == seconds


async def test_when_to_come_back_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    async with answering(reply("503 Busy", "", f"retry-after: {date}")) as gateway:
        with pytest.raises(ClinicOverloaded) as overload:
            await gateway.confirm(CALL, yes)
        told = overload.value.retry_after_seconds
        assert told is not None
        assert 60 < told <= 90  # less what has passed since


async def test_nobody_is_called_where_the_platform_keeps_the_calendar() -> None:
    system = ClinicSystem("000A", AdapterKind.BUILTIN, None, 1, 0.0, True, True)
    async with open_transport(calls_max=1, call_seconds=1) as http:
        gateway = gateway_to(system, http)
        assert isinstance(gateway, Builtin)
        for call in (gateway.confirm(CALL, yes), gateway.look_up(REF, 1, yes), gateway.withdraw(REF, 1, yes)):
            with pytest.raises(NoClinicSystem):
                await call


async def test_an_address_that_is_none() -> None:
    async with open_transport(calls_max=1, call_seconds=1) as http:
        with pytest.raises(ClinicUnavailable):
            await http.exchange("GET", URL("ftp://nowhere/x"), yes)
