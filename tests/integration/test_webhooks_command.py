"""``python -m waiting_room webhooks``: what operators see of endpoints, and how they send dead letters again."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from tests.stack import Kafka
from tests.support.cli import waiting_room
from tests.support.database import Database
from tests.support.endpoint import Endpoint, listening, register
from tests.support.running import running
from tests.support.webhooks import CLINIC, event, publish, received, rows, settled, webhooks_settings
from tests.support.world import MASTER_KEY
from workers.assemble import Role


async def test_dead_letters_are_seen_and_redriven(database: Database, fresh_kafka: Kafka) -> None:
    endpoint = Endpoint("ep_1", answers=iter([(500, {})] * 3))
    settings = webhooks_settings(database, fresh_kafka)
    async with listening(endpoint):
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC)
        async with running(Role.WEBHOOKS, settings):
            await publish(fresh_kafka, event(1), database=database)
            await settled(database)
        listed = (await waiting_room("webhooks", "list", database=database)).out.splitlines()
        assert listed[1].split()[:4] == ["ep_1", "clinic", CLINIC, "active"]
        assert listed[1].split()[-3:] == ["0", "1", endpoint.url]
        failed = await waiting_room("webhooks", "deliveries", "ep_1", "--state", "failed", database=database)
        name = f"{CLINIC}-1-ep_1"
        assert name in failed.out
        assert "failed (attempts)" in failed.out
        shown = (await waiting_room("webhooks", "show", name, database=database)).out.splitlines()
        assert [line.split()[2] for line in shown[1:]] == ["500"] * 3

        assert (await waiting_room("webhooks", "redrive", "ep_1", name, database=database)).out == "redriven 1\n"
        async with running(Role.WEBHOOKS, settings):
            await received(endpoint, 4)
            [row] = await settled(database)
        assert (row["state"], row["replays"]) == ("delivered", 1)
        since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        again = await waiting_room("webhooks", "redrive", "ep_1", "--since", since, database=database)
        assert again.out == "redriven 0\n"
        again = await waiting_room("webhooks", "redrive", "ep_1", "--since", since, "--all", database=database)
        assert again.out == "redriven 1\n"


async def test_an_operator_switches_endpoints_off_and_on(database: Database) -> None:
    async with database.owner() as owner:
        await register(owner, Endpoint("ep_1", url="http://127.0.0.1:9/"), "clinic", CLINIC)
    assert (await waiting_room("webhooks", "disable", "ep_1", database=database)).out == "disabled ep_1\n"
    assert "disabled (operator)" in (await waiting_room("webhooks", "list", database=database)).out
    assert (await waiting_room("webhooks", "enable", "ep_1", database=database)).out == "enabled ep_1\n"
    for wrong in (
        ("enable", "ep_2"),
        ("show", "nothing"),
        ("show", f"{CLINIC}-9-ep_1"),
        ("redrive", "ep_1", "0-1-ep_2"),
    ):
        said = await waiting_room("webhooks", *wrong, database=database)
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)


async def test_secrets_are_sealed_under_a_new_master_key(database: Database, fresh_kafka: Kafka) -> None:
    new = base64.b64encode(bytes(range(32))).decode()
    async with listening(Endpoint("ep_1")) as endpoint:
        async with database.owner() as owner:
            await register(owner, endpoint, "clinic", CLINIC)
        lost = await waiting_room("webhooks", "reseal", database=database, master_key=new)
        assert (lost.status, lost.err.count("\n")) == (1, 1)
        for told in ("sealed 1 secrets anew\n", "sealed 0 secrets anew\n"):
            said = await waiting_room(
                "webhooks", "reseal", database=database, master_key=new, master_keys_retired=MASTER_KEY
            )
            assert said.out == told
        async with running(Role.WEBHOOKS, webhooks_settings(database, fresh_kafka, master_key=new)):
            await publish(fresh_kafka, event(1), database=database)
            await received(endpoint, 1)
        assert [row["state"] for row in await rows(database)] in (["delivered"], ["due"])
