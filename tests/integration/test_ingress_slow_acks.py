"""Kafka's connection slow in either direction: nobody is told 202 for what does not count, and GET tells the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from devstack.kafka_config import write_server_properties
from devstack.kafka_server import KafkaServer
from devstack.ports import free_port
from tests.stack import READY_SECONDS, Kafka, server_folder
from tests.support.database import Database
from tests.support.ingress import Caller, Stage, ingress, staged, wish
from tests.support.log import everything_in
from tests.support.running import running
from tests.support.slow_proxy import SlowProxy
from tests.support.world import clinics, settings_for, tomorrow
from waiting_room.topics import BOOKING_REQUESTS
from workers.assemble import Role
from workers.hold.read import command_of

SLOW_SECONDS = 3.0
"""Longer than a caller waits (1.8 s) and than a command may take to be appended (1.5 s)."""


@dataclass
class Slow:
    proxy: SlowProxy
    stage: Stage
    app: Caller


@pytest.fixture(scope="module")
async def slow(server_folders: None, template: Database) -> AsyncIterator[Slow]:
    """A broker that tells its clients to come through the proxy; hold is at work, through it too."""
    port, proxy_port = free_port(), free_port()
    proxy, kafka = SlowProxy(port), Kafka(f"127.0.0.1:{proxy_port}")
    server = KafkaServer(server_folder("kafka"), heap="256m", port=port, ready_timeout_seconds=READY_SECONDS)
    try:
        async with proxy.listening(proxy_port):
            with pytest.MonkeyPatch.context() as patch:
                _advertise(patch, proxy_port)
                await server.start()
            async with (
                staged(kafka, template, clinics(2)) as stage,
                running(Role.HOLD, settings_for(stage.database, kafka)),
                ingress(kafka, stage.database) as base,
                Caller(base, stage.token) as app,
            ):
                yield Slow(proxy, stage, app)
    finally:
        await server.stop()


def _advertise(patch: pytest.MonkeyPatch, proxy_port: int) -> None:
    def write_with_address(file: Path, *, data: Path, port: int, controller_port: int) -> None:
        write_server_properties(file, data=data, port=port, controller_port=controller_port)
        with file.open("a") as properties:
            properties.write(f"\nadvertised.listeners=PLAINTEXT://127.0.0.1:{proxy_port}\n")

    patch.setattr("devstack.kafka_server.write_server_properties", write_with_address)


async def told_unknown(slow: Slow, hour: int) -> str:
    """Book while the connection is slow; the ref."""
    answer = await slow.app.book(str(uuid4()), wish(start_at=tomorrow(hour)))
    assert (answer.status, answer.body["outcome"]) == (503, "unknown")
    assert answer.body["type"] == "/problems/outcome-unknown"
    assert answer.headers["Retry-After"]
    refused = await slow.app.book(str(uuid4()), wish(start_at=tomorrow(hour)))
    assert (refused.status, refused.body["outcome"]) == (503, "none")
    return str(answer.body["booking_ref"])


async def truth(slow: Slow, ref: str) -> str:
    """What GET says in the end: the status of the decided booking, or "none"."""
    async with asyncio.timeout(60):
        while True:
            answer = await slow.app.get(f"/v1/appointments/{ref}")
            if answer.status == 404:
                return "none"
            if answer.status == 200 and answer.body["status"] != "pending":
                return str(answer.body["status"])
            assert answer.status in (200, 503)
            await asyncio.sleep(0.2)


async def counting(slow: Slow, ref: str) -> list[bool]:
    """Of each record of this booking, whether it counts."""
    records = await everything_in(slow.stage.kafka, BOOKING_REQUESTS)
    return [command_of(each) is not None for each in records if each.value and ref.encode() in each.value]


async def until_accepting(slow: Slow) -> None:
    async with asyncio.timeout(60):
        while (await slow.app.get("/readyz")).status != 200:
            await asyncio.sleep(0.1)
        while (await slow.app.book(str(uuid4()), wish("0002-1"))).status != 202:
            await asyncio.sleep(0.1)


async def test_an_acknowledgement_that_comes_too_late(slow: Slow) -> None:
    """The record was appended in time: it counts, although its caller could not be told."""
    await until_accepting(slow)
    slow.proxy.to_client_seconds = SLOW_SECONDS
    try:
        ref = await told_unknown(slow, 1)
    finally:
        slow.proxy.to_client_seconds = 0.0
    assert await truth(slow, ref) == "confirmed"
    assert await counting(slow, ref) == [True]
    await until_accepting(slow)


async def test_a_record_that_comes_too_late(slow: Slow) -> None:
    """The broker stamps it after accept_by: hold discards it, and it is as if it had never been."""
    await until_accepting(slow)
    slow.proxy.to_upstream_seconds = SLOW_SECONDS
    try:
        ref = await told_unknown(slow, 2)
    finally:
        slow.proxy.to_upstream_seconds = 0.0
    await until_accepting(slow)
    async with asyncio.timeout(60):
        while not await counting(slow, ref):
            await asyncio.sleep(0.2)
    assert await counting(slow, ref) == [False]
    assert await truth(slow, ref) == "none"
