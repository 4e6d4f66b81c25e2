"""The same promise for what only a clinic may do: its calendars, asked for with its own key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.test_ingress_openapi import schemathesis
from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Newcomer, Stage, ingress, staged
from tests.support.world import SERVICE, clinics, tomorrow
from waiting_room.access import OwnerKind

SPECS = clinics(1)
EXAMPLES = 15

# Valid JSON may still be a contradiction (422), a version long gone (412) or an entry that is not there (404).
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "304", "400", "404", "409", "412", "422"]

[parameters]
"path.id" = {{ dictionary = "providers", probability = 0.9 }}
"header.If-Match" = {{ dictionary = "versions", probability = 0.9 }}
"query.service" = {{ dictionary = "services", probability = 0.9 }}
"body.from" = {{ dictionary = "begins", probability = 0.8 }}
"body.to" = {{ dictionary = "ends", probability = 0.8 }}

[dictionaries]
providers.values = {providers}
versions.values = ["*"]
services.values = ["{service}"]
begins.values = ["{begins}"]
ends.values = ["{ends}"]
"""


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
        yield stage


async def test_schemathesis_finds_nothing_with_a_clinics_key(stage: Stage, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    begins, ends = tomorrow(9).isoformat(), tomorrow(12).isoformat()
    providers = json.dumps([SPECS[0].provider_id])
    config.write_text(CONFIG.format(providers=providers, service=SERVICE, begins=begins, ends=ends))
    async with (
        ingress(stage.kafka, stage.database) as base,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, SPECS[0].clinic_id) as clinic,
    ):
        status, output = await schemathesis(
            config, base, str(clinic.token), EXAMPLES, "--include-path-regex=^/v1/(providers|feeds)/", cwd=tmp_path
        )
    assert status == 0, output
    async with stage.database.owner() as owner:
        version = await owner.fetchval("SELECT max(availability_version) FROM providers")
    assert version > 0, "it never got as far as to replace rules"
