"""The live server keeps what /openapi.json promises: schemathesis runs against it with real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import re
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Caller, Stage, ingress, staged, wish
from tests.support.running import running
from tests.support.world import SERVICE, clinics, settings_for, tomorrow
from workers.assemble import Role

SPECS = clinics(2)
EXAMPLES = 40

# Checks are all on but for one. `use_after_free` wants 404 after DELETE; here DELETE cancels, and a cancelled booking
# stays readable with its history. 422 is what valid JSON gets that asks for the impossible, which no schema can say,
# and 412 an If-Match that names a version long gone.
CONFIG = """
[checks]
use_after_free.enabled = false
positive_data_acceptance.expected-statuses = ["2xx", "304", "401", "403", "404", "409", "412", "422", "429"]

[parameters]
"body.provider_id" = {{ dictionary = "providers", probability = 0.9 }}
"body.clinic_id" = {{ dictionary = "clinics", probability = 0.9 }}
"path.ref" = {{ dictionary = "refs", probability = 0.6 }}
"query.patient" = {{ dictionary = "patients", probability = 0.6 }}
"body.patient_id" = {{ dictionary = "patients", probability = 0.6 }}
"body.service_type" = {{ dictionary = "services", probability = 0.8 }}
"body.start_at" = {{ dictionary = "starts", probability = 0.6 }}
"query.clinic" = {{ dictionary = "clinics", probability = 0.6 }}
"path.id" = {{ dictionary = "clinics", probability = 0.6 }}
"path.name" = {{ dictionary = "problems", probability = 0.6 }}
"path.endpoint_id" = {{ dictionary = "endpoints", probability = 0.7 }}
"path.webhook_id" = {{ dictionary = "deliveries", probability = 0.7 }}
"body.url" = {{ dictionary = "urls", probability = 0.6 }}

[dictionaries]
providers.values = {providers}
clinics.values = {clinics}
refs.values = {refs}
patients.values = ["patient-1"]
services.values = ["{service}"]
starts.values = {starts}
problems.values = ["not-found", "line-too-long"]
urls.values = ["https://hooks.example/in"]
endpoints.values = {endpoints}
deliveries.values = {deliveries}
"""


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    """With hold and relay at work, so that bookings are decided and streams end."""
    async with (
        staged(kafka, template, SPECS) as stage,
        running(Role.HOLD, settings_for(stage.database, kafka)),
        running(Role.RELAY, settings_for(stage.database, kafka, "relay")),
    ):
        yield stage


async def test_schemathesis_finds_nothing(stage: Stage, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as app:
        bookings = [await app.book(f"key-{hour}", wish(start_at=tomorrow(hour))) for hour in (21, 22)]
        hook = await app.call(
            "POST",
            "/v1/webhook-endpoints",
            json={"url": "https://hooks.example/in"},
            headers={"Idempotency-Key": "hook"},
        )
        endpoint = hook.body["endpoint"]
        tests = (await app.get(endpoint["links"]["deliveries"])).body["deliveries"]
        config.write_text(
            CONFIG.format(
                providers=json.dumps([SPECS[0].provider_id]),
                clinics=json.dumps([SPECS[0].clinic_id]),
                refs=json.dumps([booking.body["booking_ref"] for booking in bookings]),
                service=SERVICE,
                endpoints=json.dumps([endpoint["endpoint_id"]]),
                deliveries=json.dumps([test["webhook_id"] for test in tests]),
                starts=json.dumps([tomorrow(hour).isoformat() for hour in range(20)]),
            )
        )
        status, output = await schemathesis(config, base, str(stage.token), EXAMPLES, cwd=tmp_path)
        metrics = (await app.get("/metrics")).body
    assert status == 0, output
    (accepted,) = re.findall(r'^waiting_room_accept_seconds_count{outcome="accepted"} (\S+)$', metrics, re.MULTILINE)
    assert float(accepted) > len(bookings), "it never got as far as to book"


async def schemathesis(config: Path, base: str, token: str, examples: int, *options: str, cwd: Path) -> tuple[int, str]:
    """Its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sysconfig.get_path("scripts")) / "schemathesis"),
        "--config-file",
        str(config),
        "run",
        f"{base}/openapi.json",
        "--header",
        f"Authorization: Bearer {token}",
        "--checks=all",
        f"--max-examples={examples}",
        "--generation-deterministic",
        "--request-timeout=10",
        "--no-color",
        *options,
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")
