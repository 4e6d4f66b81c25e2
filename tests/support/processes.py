"""Worker processes for the clinics of a test, told where everything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from tests.integration.test_worker_process import Worker
from waiting_room.settings import Settings


def process_of(folder: Path, roles: str, name: str, settings: Settings, **overrides: Any) -> Worker:
    """``python -m workers ROLES`` with these settings under its own name; not started."""
    values = {key: getattr(settings, key) for key in settings.model_fields_set} | overrides
    shown = {
        key: value.get_secret_value() if isinstance(value, SecretStr) else value
        for key, value in values.items()
        if key != "worker_id"
    }
    return Worker(folder, roles, name, **shown)


async def gauges(url: str) -> dict[str, float]:
    """What a process measures now, by name or, where it has labels, ``name{value,...}``."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        text = await response.text()
    return {
        sample.name + (f"{{{','.join(sample.labels.values())}}}" if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
