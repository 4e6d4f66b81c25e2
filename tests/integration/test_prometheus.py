"""A real Prometheus loads our rules, scrapes a page of ours and evaluates every rule without an error."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from dashboards.board import CLINIC
from dashboards.boards.all import BOARDS
from dashboards.catalogue import readers
from dashboards.rule_files import rules
from devstack.ports import free_port
from loadtest.observe.prometheus import NoPrometheus, Prometheus
from loadtest.observe.table import Seen, Span, see
from tests.support.log import until
from waiting_room.messages import ClinicPulse
from waiting_room.telemetry.exposition import page
from waiting_room.telemetry.health import say_ready
from workers.confirm.showing import Showing
from workers.supervise.recorded import Recorded
from workers.supervise.server import SupervisorServer

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no prometheus: .ci/run installs Debian's if it can"
)


async def metrics(request: web.Request) -> web.Response:
    return web.Response(body=page("")[0])


async def test_it_evaluates_every_rule_and_answers_every_panel(tmp_path: Path) -> None:
    say_ready("hold")
    Showing().look({"0001": ClinicPulse(seq=1, line=5, limit=2, breaker_open=True)}, 0.0)
    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        async with Prometheus(tmp_path, {"one": f"http://{host}:{port}/metrics"}) as prometheus:

            async def told() -> bool:
                health = {rule["name"]: rule["health"] for rule in await prometheus.rules()}
                assert "err" not in health.values(), health
                return set(health.values()) == {"ok"} and bool(await prometheus.query("waiting_room_clinic_line"))

            await until(told)
            assert {rule["name"] for rule in await prometheus.rules()} == {rule.name for rule in rules()}
            for reader in readers(BOARDS, ()):
                await prometheus.query(reader.expr.replace(CLINIC, ".*"))
            [line] = await prometheus.query('waiting_room_clinic_line{clinic="0001"}')
            at = float(line["value"][0])
            seen = await see(prometheus, 'max(waiting_room_clinic_line{clinic="0001"})', Span(at, at))
            assert seen == Seen(1, 5, 5, 5)
            assert await see(prometheus, "waiting_room_clinic_line > 1e9", Span(at, at)) is None
    finally:
        await runner.cleanup()
        say_ready("hold", ready=False)


async def test_a_supervisor_goes_by_the_number_that_prometheus_records_of_the_workers_it_lists(tmp_path: Path) -> None:
    said = "waiting_room_confirm_calls_needed 1100\nwaiting_room_confirm_calls_max 500\n"

    async def worker(request: web.Request) -> web.Response:
        return web.Response(text=said)

    app = web.Application()
    app.router.add_get("/metrics", worker)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running, finish, port = [runner.addresses[0][1]], asyncio.Event(), free_port()
    server = asyncio.create_task(SupervisorServer("127.0.0.1", port, "supervise", lambda: running).run(finish))
    try:
        async with (
            aiohttp.ClientSession() as session,
            Prometheus(tmp_path, {}, [f"http://127.0.0.1:{port}/targets"]) as prometheus,
        ):
            recorded = Recorded(prometheus.url)

            async def tells(number: int | None) -> bool:
                return await recorded.ask(session) == number

            await until(lambda: tells(3))
            running.clear()
            await until(lambda: tells(None))
            with capture_logs() as lines:
                assert await Recorded("http://127.0.0.1:9").ask(session) is None
            assert [line["event"] for line in lines] == ["workers_desired_not_recorded"]
    finally:
        finish.set()
        await server
        await runner.cleanup()


def test_without_prometheus_it_says_which_package_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoPrometheus, match="apt-get install prometheus"):
        Prometheus(tmp_path, {})
