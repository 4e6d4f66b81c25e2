"""A real Prometheus loads our rules, scrapes a page of ours and evaluates every rule without an error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from aiohttp import web

from dashboards.board import CLINIC
from dashboards.boards.all import BOARDS
from dashboards.catalogue import readers
from dashboards.rule_files import rules
from loadtest.observe.prometheus import NoPrometheus, Prometheus
from loadtest.observe.table import Seen, Span, see
from tests.support.log import until
from waiting_room.messages import ClinicPulse
from waiting_room.telemetry.exposition import page
from waiting_room.telemetry.health import say_ready
from workers.confirm.showing import Showing

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


def test_without_prometheus_it_says_which_package_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoPrometheus, match="apt-get install prometheus"):
        Prometheus(tmp_path, {})
