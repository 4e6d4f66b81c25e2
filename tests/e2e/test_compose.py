"""compose.yaml as it stands, but for containers: its jobs, its order, its settings carry a booking to its webhook."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.stack import Kafka, Postgres
from tests.support import topics
from tests.support.compose import ROOT, load
from tests.support.composed import Composed
from workers.assemble import Role

DECIDED_SECONDS = 60


@pytest.fixture
async def composed(kafka: Kafka, postgres_server: Postgres, tmp_path: Path) -> AsyncIterator[Composed]:
    """Everything up; gone afterwards, and the topics as other tests want them."""
    database = f"compose_{secrets.token_hex(4)}"
    await topics.remove(kafka)
    composed = Composed(load((ROOT / "compose.yaml").read_text()), tmp_path, kafka, postgres_server, database)
    try:
        await composed.up()
        yield composed
    finally:
        await composed.stop()
        admin = await asyncpg.connect(postgres_server.admin_dsn)
        await admin.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        await admin.close()
        await topics.recreate(kafka)


async def until_decided(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with asyncio.timeout(DECIDED_SECONDS):
        while True:
            async with session.get(url) as response:
                booking: dict[str, Any] = await response.json()
            if booking["status"] != "pending":
                return booking
            await asyncio.sleep(0.2)


async def until_received(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(DECIDED_SECONDS):
        while True:
            async with session.get(f"{url}/_sim/stats") as response:
                tallies = (await response.json())["endpoints"]
            if any(each["accepted"] for each in tallies.values()):
                assert not any(each["failed"] for each in tallies.values())
                return
            await asyncio.sleep(0.2)


@pytest.mark.usefixtures("groups_can_be_read")
async def test_a_booking_is_confirmed_and_told_and_everyone_leaves_in_order(composed: Composed, kafka: Kafka) -> None:
    token = await composed.run("onboard", "waiting_room", "keys", "create", "--app", "demo-app")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    wish = {
        "clinic_id": "0001",
        "service_type": "consultation",
        "patient": {"id": "p-1"},
        "range": {"from": tomorrow.isoformat(), "to": (tomorrow + timedelta(days=3)).isoformat()},
    }
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        async with session.post(
            f"{composed.url('ingress')}/v1/appointments", json=wish, headers={"Idempotency-Key": "monday"}
        ) as response:
            accepted = await response.json()
            assert response.status == 202, accepted
        booking = f"{composed.url('ingress')}/v1/appointments/{accepted['booking_ref']}"
        assert (await until_decided(session, booking))["status"] == "confirmed"
        await until_received(session, composed.url("receiver"))

    assert await topics.groups(kafka, "hold", "confirm") == {"hold": ("Stable", 1), "confirm": ("Stable", 1)}
    ended = await composed.stop()
    assert {ended[role] for role in Role} == {0}
    assert ended["ingress"] == -signal.SIGTERM, "uvicorn ends in order and then by the signal it was sent"
    left = await topics.groups(kafka, "hold", "confirm")
    assert left == {"hold": ("Empty", 0), "confirm": ("Empty", 0)}, "a worker that was told to stop leaves its group"
