"""What is wrong with a request is told as a problem, whatever it is; what is wrong with us, by an id in the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Answer, Caller, Stage, ingress, staged, wish
from tests.support.world import clinics, tomorrow

BOOK = "/v1/appointments"


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, clinics(1)) as stage:
        yield stage


@pytest.fixture(scope="module")
async def app(stage: Stage) -> AsyncIterator[Caller]:
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as caller:
        yield caller


async def post(app: Caller, body: bytes, content_type: str = "application/json", **headers: str) -> Answer:
    own = {"Content-Type": content_type, "Idempotency-Key": str(uuid4()), **headers}
    return await app.call("POST", BOOK, data=body, headers=own)


def check(answer: Answer, status: int, name: str) -> dict[str, Any]:
    """A complete problem of this type."""
    assert (answer.status, answer.body["type"]) == (status, f"/problems/{name}"), answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["status"] == status
    assert answer.body["title"]
    assert answer.body["detail"]
    assert answer.body["next_step"]
    problem: dict[str, Any] = answer.body
    return problem


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (b"", 400, "malformed-json"),
        (b"{", 400, "malformed-json"),
        (b"\xff\xfe", 400, "malformed-json"),
        (b'{"service_type": "\\ud800"}', 400, "malformed-json"),
        (b"[" * 10_000, 422, "wrong-value"),
        (b"null", 422, "wrong-value"),
    ],
)
async def test_a_body_that_is_no_booking(app: Caller, body: bytes, status: int, name: str) -> None:
    check(await post(app, body), status, name)


async def test_content_types(app: Caller) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
        problem = check(await post(app, b"{}", content_type), 415, "wrong-content-type")
        assert problem["errors"][0]["header"] == "Content-Type"
    check(await post(app, b"{}", "Application/JSON; charset=utf-8"), 422, "missing-field")


async def test_a_body_that_is_too_large_is_not_read(app: Caller) -> None:
    check(await post(app, b" " * 20_000), 413, "body-too-large")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 1_000
        await asyncio.Event().wait()  # the rest never comes: the answer must not wait for it, nor race with it

    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
    check(await app.call("POST", BOOK, data=chunks(), headers=headers), 413, "body-too-large")


@pytest.mark.parametrize("key", ["", "with space", "ä", "x" * 256])
async def test_idempotency_keys(app: Caller, key: str) -> None:
    problem = check(await app.book(key), 400, "bad-header")
    assert problem["errors"][0]["header"] == "Idempotency-Key"
    assert (await app.book("!" + "~" * 254)).status == 202


async def test_without_a_key_nothing_is_told(app: Caller) -> None:
    for token in (None, "nonsense", "wr_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"):
        async with Caller(app.base, token) as stranger:
            for answer in (await stranger.book("key"), await stranger.get("/v1/clinics"), await stranger.get(BOOK)):
                check(answer, 401, "unauthenticated")
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    basic = {"Authorization": "Basic dXNlcjpzZWNyZXQ="}
    async with Caller(app.base, None) as stranger:
        check(await stranger.call("GET", "/v1/clinics", headers=basic), 401, "unauthenticated")


async def test_addresses_and_methods(app: Caller) -> None:
    check(await app.get("/v1/nothing"), 404, "not-found")
    check(await app.get("/v1/appointments/"), 404, "not-found")
    refused = await app.call("PATCH", BOOK)
    check(refused, 405, "method-not-allowed")
    assert refused.headers["Allow"] == "GET, HEAD, POST"
    assert (await app.call("HEAD", "/healthz")).status == 200


async def test_every_problem_type_is_at_its_address(app: Caller) -> None:
    problem = check(await app.get("/v1/nothing"), 404, "not-found")
    page = (await app.get(problem["type"])).body
    assert {name: page[name] for name in ("type", "title", "status")} == {
        name: problem[name] for name in ("type", "title", "status")
    }


async def test_impossible_bookings_are_told_what_is_possible(app: Caller) -> None:
    odd = tomorrow(9, 10)
    problem = check(await app.book(str(uuid4()), wish(start_at=odd)), 422, "start-not-offered")
    (error,) = problem["errors"]
    assert error["pointer"] == "/start_at"
    assert tomorrow(9).isoformat().replace("+00:00", "Z") in error["fix"]


async def test_process_pages(app: Caller) -> None:
    assert (await app.get("/healthz")).body == {"status": "ok"}
    assert (await app.get("/readyz")).body == {"status": "ready"}
    assert "waiting_room_accept_seconds_bucket" in (await app.get("/metrics")).body
    assert (await app.get("/openapi.json")).body["openapi"].startswith("3.1")


async def test_a_caller_who_goes_away_leaves_no_trace(app: Caller, stage: Stage) -> None:
    """Neither a stack trace in the log (the fixture looks) nor a connection that stays."""
    host, port = app.base.removeprefix("http://").split(":")
    for sent in (b"POST /v1/appo", _head(app, 500) + b'{"service_type"', _head(app, 500)):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert (await app.get("/healthz")).status == 200


def _head(app: Caller, length: int) -> bytes:
    return (
        f"POST {BOOK} HTTP/1.1\r\nHost: ingress\r\nAuthorization: Bearer {app.token}\r\nIdempotency-Key: gone\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()
