"""The contract of EligibilityGateway, held against a simulated system on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from clinic_adapter.eligibility import EligibilityGateway, Question, open_eligibility
from clinic_adapter.errors import ClinicOverloaded, ClinicUnavailable
from loadtest.eligibility.system import EligibilitySystem, Mood
from loadtest.httpserver import Exchange, Handler, listening

QUESTION = Question("app", "p-1", "business", "flu")
TOKEN = "a token"


@asynccontextmanager
async def gateway_to(handler: Handler, *, call_seconds: float = 30.0) -> AsyncIterator[EligibilityGateway]:
    async with (
        listening(handler, 0) as port,
        open_eligibility(f"http://127.0.0.1:{port}/", token=TOKEN, calls_max=4, call_seconds=call_seconds) as gateway,
    ):
        yield gateway


async def test_the_system_says_yes_or_no() -> None:
    system = EligibilitySystem(Mood(), TOKEN)
    system.refused.add("p-2")
    async with gateway_to(system.handle) as gateway:
        assert await gateway.is_eligible(QUESTION)
        assert not await gateway.is_eligible(QUESTION._replace(patient_id="p-2"))
        assert await gateway.is_eligible(QUESTION), "it may be asked again"
    assert (system.stats.asked, system.stats.most) == (3, 2)


async def test_no_patient_stands_in_the_address() -> None:
    seen: list[Exchange] = []

    def handle(exchange: Exchange) -> None:
        seen.append(exchange)
        exchange.answer(200, b'{"eligible": true}')

    async with gateway_to(handle) as gateway:
        await gateway.is_eligible(QUESTION)
    [exchange] = seen
    assert (exchange.method, exchange.path, exchange.query) == (b"POST", b"/checks", b"")
    assert exchange.headers[b"authorization"] == f"Bearer {TOKEN}".encode()


@pytest.mark.parametrize("mood", [{"down": "cut"}, {"down": "hang"}, {"failing": 1.0}, {"delay": 5.0}])
async def test_without_an_answer_that_counts_it_is_away(mood: dict[str, Any]) -> None:
    async with gateway_to(EligibilitySystem(Mood(**mood)).handle, call_seconds=0.3) as gateway:
        with pytest.raises(ClinicUnavailable) as away:
            await gateway.is_eligible(QUESTION)
    assert not isinstance(away.value, ClinicOverloaded)
    assert "p-1" not in str(away.value)


async def test_too_busy_is_told_with_its_own_word_on_when() -> None:
    async with gateway_to(EligibilitySystem(Mood(down="503")).handle) as gateway:
        with pytest.raises(ClinicOverloaded) as busy:
            await gateway.is_eligible(QUESTION)
    assert busy.value.retry_after_seconds == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"{}"), (200, b"<html>"), (200, b"\xff"), (200, b'{"eligible": "yes"}'), (302, b""), (404, b""), (401, b"")],
)
async def test_what_is_not_of_the_dialect_is_no_answer(status: int, body: bytes) -> None:
    async with gateway_to(lambda exchange: exchange.answer(status, body)) as gateway:
        with pytest.raises(ClinicUnavailable):
            await gateway.is_eligible(QUESTION)


async def test_a_system_that_nobody_named_is_away() -> None:
    async with open_eligibility("", token=None, calls_max=1, call_seconds=1.0) as gateway:
        with pytest.raises(ClinicUnavailable):
            await gateway.is_eligible(QUESTION)


async def test_a_system_that_does_not_listen_is_away() -> None:
    async with open_eligibility("http://127.0.0.1:1", token=None, calls_max=1, call_seconds=1.0) as gateway:
        with pytest.raises(ClinicUnavailable):
            await gateway.is_eligible(QUESTION)


async def test_its_mood_can_be_changed_from_outside() -> None:
    import aiohttp

    system = EligibilitySystem(Mood())
    async with listening(system.handle, 0) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.patch("/_sim/mood", json={"down": "503"}) as answer:
            assert answer.status == 200
        async with session.patch("/_sim/mood", json={"down": "perhaps"}) as answer:
            assert answer.status == 422
        async with session.post("/checks", json=QUESTION._asdict()) as answer:
            assert answer.status == 503
        async with session.get("/_sim/stats") as answer:
            assert (await answer.json())["failed"] == 1
