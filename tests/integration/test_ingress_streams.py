"""Live streams on a real ingress that carries few: who is refused, what they are told, and who gets in after others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import pytest

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged
from tests.support.lines import line_up
from tests.support.log import until
from tests.support.world import clinics
from waiting_room.access import OwnerKind

[SPEC] = clinics(1, endpoint="http://127.0.0.1:9")
OPS = "/ops/live"


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, [SPEC]) as stage:
        yield stage


@pytest.fixture(scope="module")
async def address(stage: Stage) -> str:
    """Of the events of a booking that nobody decides."""
    async with stage.database.owner() as owner:
        [ref] = await line_up(owner, SPEC, 1)
    return f"/v1/appointments/{ref}/events"


@pytest.fixture(scope="module")
async def app(stage: Stage) -> AsyncIterator[Caller]:
    async with (
        ingress(stage.kafka, stage.database, ingress_streams_max=3, ingress_streams_caller_max=2) as base,
        Caller(base, stage.token) as app,
    ):
        yield app


@asynccontextmanager
async def watching(caller: Caller, address: str) -> AsyncIterator[None]:
    headers = {} if caller.token is None else {"Authorization": f"Bearer {caller.token}"}
    async with caller.session.get(address, headers=headers) as response:
        assert response.status == 200
        assert await response.content.readline()
        yield


async def let_in(caller: Caller, address: str) -> None:
    """Until there is room: who left before may be forgotten only now."""

    async def opens() -> bool:
        headers = {"Authorization": f"Bearer {caller.token}"}
        async with caller.session.get(address, headers=headers) as response:
            assert response.status in (200, 429, 503)
            return response.status == 200

    await until(opens)


def told(answer: Answer) -> tuple[int, str]:
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "links.self" in answer.body["next_step"]
    return answer.status, answer.problem


async def refusals(app: Caller, kind: str) -> float:
    page: str = (await app.get("/metrics")).body
    [line] = [each for each in page.splitlines() if each.startswith(f'waiting_room_refused_total{{reason="{kind}"}}')]
    return float(line.split()[1])


async def test_a_caller_then_the_process_has_no_more_places(stage: Stage, app: Caller, address: str) -> None:
    async with (
        AsyncExitStack() as opened,
        Newcomer(stage.kafka, app.base, OwnerKind.CLINIC, SPEC.clinic_id) as desk,
        Newcomer(stage.kafka, app.base, OwnerKind.OPERATOR, "olga") as operator,
        Caller(app.base, None) as here,
    ):
        before = {kind: await refusals(app, kind) for kind in ("too-many-streams", "streams-full")}
        for _ in range(2):
            await opened.enter_async_context(watching(app, address))
        assert told(await app.get(address)) == (429, "too-many-streams")
        assert (await app.get(address.removesuffix("/events"))).status == 200, "it is read as before"
        await opened.enter_async_context(watching(desk, address))
        for caller, at in ((operator, address), (operator, OPS), (here, OPS)):
            assert told(await caller.get(at)) == (503, "streams-full")
        assert (await app.book("while-it-is-full")).status == 202
        after = {kind: await refusals(app, kind) for kind in before}
        assert {kind: after[kind] - before[kind] for kind in before} == {"too-many-streams": 1, "streams-full": 3}
    await let_in(app, address)


async def test_who_looks_at_ops_counts_too(app: Caller, address: str) -> None:
    await let_in(app, address)
    async with Caller(app.base, None) as here, watching(here, OPS), watching(here, OPS):
        assert (await here.get(OPS)).status == 429


@pytest.mark.parametrize("read_to", [b"\r\n\r\n", b"data: "], ids=["before the first event", "after it"])
async def test_who_vanishes_gives_their_place_back(app: Caller, address: str, read_to: bytes) -> None:
    at = urlsplit(app.base)
    request = f"GET {address} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {app.token}\r\n\r\n"
    gone: list[asyncio.StreamWriter] = []

    async def watches() -> bool:
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        gone.append(writer)
        writer.write(request.encode())
        if not (await reader.readline()).startswith(b"HTTP/1.1 200"):
            return False  # who left before is not forgotten yet
        await reader.readuntil(read_to)
        return True

    try:
        for _ in range(2):
            await until(watches)
    finally:
        for writer in gone:
            writer.transport.abort()
    await let_in(app, address)
