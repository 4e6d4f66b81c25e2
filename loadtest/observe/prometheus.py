"""A real Prometheus beside a stack: started on its metrics pages with our rules, asked, stopped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml

from dashboards.rule_files import FILES
from devstack.ports import free_port
from devstack.processes import Process

SCRAPE_SECONDS = 2
JOB = "waiting-room"


class NoPrometheus(RuntimeError):
    """There is none on this machine; the message says which package has it."""


class Prometheus:
    """Use it as a context; ``query`` and ``query_range`` are those of its HTTP API."""

    def __init__(self, folder: Path, targets: Mapping[str, str], discover: Sequence[str] = ()) -> None:
        """``targets``: addresses of /metrics by name, which becomes the label ``instance``; ``discover``: where more of
        them are listed. Raises NoPrometheus.
        """
        program = shutil.which("prometheus")
        if program is None:
            raise NoPrometheus("no prometheus on PATH; Debian has it: apt-get install prometheus")
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        data, config = folder / "prometheus", folder / "prometheus.yml"
        shutil.rmtree(data, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        config.write_text(yaml.safe_dump(_config(targets, discover)))
        self._process = Process(
            "prometheus",
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            log_file=folder / "prometheus.log",
            ready_url=f"{self.url}/-/ready",
        )

    async def __aenter__(self) -> Prometheus:
        """Raises ProcessFailed."""
        await self._process.start()
        self._session = aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(total=20))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._process.stop()

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """The instant vector, as its API gives it. Raises RuntimeError for what it refuses."""
        return (await self._get("query", {"query": expr}))["result"]  # type: ignore[no-any-return]

    async def query_range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The range vector; Unix times."""
        parameters = {"query": expr, "start": f"{start}", "end": f"{end}", "step": f"{step}"}
        return (await self._get("query_range", parameters))["result"]  # type: ignore[no-any-return]

    async def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or firing."""
        return (await self._get("alerts", {}))["alerts"]  # type: ignore[no-any-return]

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its ``health``."""
        return [rule for group in (await self._get("rules", {}))["groups"] for rule in group["rules"]]

    async def _get(self, what: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        async with self._session.get(f"/api/v1/{what}", params=parameters) as response:
            answer = await response.json()
        if answer["status"] != "success":
            raise RuntimeError(f"{parameters}: {answer.get('error')}")
        data: dict[str, Any] = answer["data"]
        return data


def _config(targets: Mapping[str, str], discover: Sequence[str]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(file) for file in FILES],
        "scrape_configs": [
            {
                "job_name": JOB,
                "static_configs": [
                    {"targets": [urlsplit(url).netloc], "labels": {"instance": name}} for name, url in targets.items()
                ],
                "http_sd_configs": [{"url": url, "refresh_interval": f"{SCRAPE_SECONDS}s"} for url in discover],
            }
        ],
    }
