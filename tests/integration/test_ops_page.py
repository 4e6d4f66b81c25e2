"""/ops on a real ingress: who may look, and what a browser shows, on a phone too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import expect

from devstack.ports import free_port
from ingress.directory import Directory
from ingress.line import Lines
from ingress.ops.watch import OpsWatch
from tests.stack import Kafka
from tests.support.browsing import DESK, PHONE, browsing, needs_a_browser
from tests.support.database import Database
from tests.support.ingress import Caller, Stage, announce, ingress, key_for, staged, wish
from tests.support.world import clinics, settings_for
from waiting_room.access import OwnerKind, Token
from waiting_room.kafka import Producer
from waiting_room.messages import ClinicPulse, Pulse, encode
from waiting_room.topics import CLINIC_PULSE

THROUGH_A_PROXY = {"X-Forwarded-For": "192.0.2.1"}
SILENT = f"http://127.0.0.1:{free_port()}/metrics"


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, clinics(2, endpoint="http://127.0.0.1:9/clinics")) as stage:
        producer = Producer(settings_for(None, stage.kafka, "confirm"))
        await producer.start()
        down = ClinicPulse(seq=2, line=4, limit=3, in_flight=0, call_seconds=1.2, breaker_open=True, why="breaker")
        busy = ClinicPulse(seq=2, line=40, limit=6, in_flight=6, call_seconds=1.4, why="clinic")
        pulse = Pulse(worker_id="confirm", at=datetime.now(UTC), clinics={"0001": down, "0002": busy})
        await producer.send_all([(CLINIC_PULSE, 0, "confirm", encode(pulse))])
        await producer.stop()
        yield stage


@pytest.fixture(scope="module")
async def app(stage: Stage) -> AsyncIterator[Caller]:
    async with (
        ingress(stage.kafka, stage.database, ops_metrics_urls=SILENT) as base,
        Caller(base, stage.token) as caller,
    ):
        assert (await caller.book(str(uuid4()), wish())).status == 202
        yield caller


@pytest.fixture(scope="module")
async def operator(stage: Stage, app: Caller) -> Token:
    token, key = key_for(OwnerKind.OPERATOR, "someone")
    await announce(stage.kafka, [key])
    async with Caller(app.base, token) as caller:
        while (await caller.get("/v1/clinics")).status == 401:
            pass
    return token


async def look(base: str, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """The status of /ops/live and its first event."""
    async with aiohttp.ClientSession() as session, session.get(f"{base}/ops/live", headers=headers) as response:
        if response.status != 200:
            return response.status, {}
        async for line in response.content:
            if line.startswith(b"data: "):
                told: dict[str, Any] = json.loads(line[6:])
                return response.status, told
    raise AssertionError("it ended without an event")


async def test_whoever_is_at_this_machine_may_look(app: Caller) -> None:
    status, told = await look(app.base, {})
    assert status == 200
    assert [(each["clinic_id"], each["down"], each["line"]) for each in told["clinics"]] == [
        ("0001", True, 4),
        ("0002", False, 40),
    ]
    assert told["clinics"][0]["name"] == "Clinic 0001"
    assert told["accept"]["good"] is not None
    assert told["roles"]["ingress"] == 1
    assert f"{SILENT} does not answer" in told["faults"]


async def test_it_finds_the_workers_that_a_supervisor_lists() -> None:
    """They come and go, at any port."""
    ports: list[int] = []

    async def serve(request: web.Request) -> web.Response:
        if request.path == "/targets":
            return web.json_response([{"targets": [f"127.0.0.1:{port}" for port in ports], "labels": {}}])
        return web.Response(text='waiting_room_ready{role="confirm"} 1\nwaiting_room_confirm_calls_max 500\n')

    app = web.Application()
    app.router.add_get("/{any}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    own = runner.addresses[0][1]
    try:
        running = []
        for ports[:] in ([], [own, own]):
            told = await OpsWatch([f"http://127.0.0.1:{own}/targets"]).look(Lines(), Directory())
            running.append(told.workers_running)
            assert not [fault for fault in told.faults if "answer" in fault]
        assert running[1] == running[0] + 2
        gone = f"{SILENT.removesuffix('/metrics')}/targets"
        assert f"{gone} does not answer" in (await OpsWatch([gone]).look(Lines(), Directory())).faults
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "headers",
    [THROUGH_A_PROXY, {"Forwarded": "for=192.0.2.1"}, {"Via": "1.1 proxy"}, {"Host": "rebound.example"}],
)
async def test_whoever_comes_by_another_way_needs_an_operators_key(
    app: Caller, operator: Token, headers: dict[str, str]
) -> None:
    assert (await look(app.base, headers))[0] == 401
    assert (await look(app.base, {**headers, "Authorization": f"Bearer {app.token}"}))[0] == 403
    assert (await look(app.base, {**headers, "Authorization": f"Bearer {operator}"}))[0] == 200


async def test_another_apps_key_opens_nothing_even_here(app: Caller) -> None:
    assert (await look(app.base, {"Authorization": f"Bearer {app.token}"}))[0] == 403


async def test_loopback_can_be_turned_off(stage: Stage) -> None:
    async with ingress(stage.kafka, None, ops_from_loopback=False) as base:
        assert (await look(base, {}))[0] == 401


@pytest.mark.parametrize("address", ["/ops/ops", "/pass/pass", "/desk/webhooks/webhooks"])
async def test_a_page_itself_holds_no_data_and_lets_nothing_in(app: Caller, address: str) -> None:
    page = await app.get(address.rpartition("/")[0])
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "0001" not in page.body
    for ending, kind in (("css", "text/css"), ("js", "text/javascript")):
        assert (await app.get(f"{address}.{ending}")).headers["Content-Type"].startswith(kind)


@needs_a_browser
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
async def test_a_browser_shows_what_happens(app: Caller, size: Any) -> None:
    in_time = (await look(app.base, {}))[1]["accept"]["good"]  # of one booking: all, or none on a slow machine
    async with browsing(size) as (page, complaints):
        await page.goto(f"{app.base}/ops")
        await expect(page.locator("#clinics tr")).to_have_count(2)
        await expect(page.locator("#clinics tr").first).to_contain_text("down")
        await expect(page.locator("#accept .big")).to_have_text(f"{in_time:.2%}")
        await expect(page.locator("#faults")).to_contain_text("does not answer")
        await expect(page.locator("#state")).to_contain_text("live")
        await expect(page.locator("#undecided svg polyline")).to_have_count(1)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it fits the screen"
        assert complaints == []


@needs_a_browser
async def test_a_browser_elsewhere_asks_for_a_key(app: Caller, operator: Token) -> None:
    async with browsing(DESK, THROUGH_A_PROXY) as (page, _):
        await page.goto(f"{app.base}/ops")
        await expect(page.locator("#state")).to_contain_text("operator's key is needed")
        await expect(page.locator("main")).to_be_hidden()
        await page.fill("#key", str(operator))
        await page.click("#ask button")
        await expect(page.locator("#clinics tr")).to_have_count(2)
        await expect(page.locator("#ask")).to_be_hidden()
        assert str(operator) not in await page.content()
