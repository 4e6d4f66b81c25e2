"""Place, ETA and status of a booking, live: from events while relay publishes, from PostgreSQL while it does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Caller, Stage, ingress, staged, wish
from tests.support.lines import happen, line_up
from tests.support.running import running
from tests.support.world import ClinicSpec, clinics, settings_for
from waiting_room.domain.appointment import EventType
from workers.assemble import Role

SPECS = clinics(6, endpoint="http://127.0.0.1:9")
CONFIRMED = (EventType.CALLING, EventType.CONFIRMED)


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
        yield stage


@pytest.fixture(scope="module")
async def app(stage: Stage) -> AsyncIterator[Caller]:
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as caller:
        yield caller


class Stream:
    """A stream of server-sent events, read one at a time."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.last_id = ""

    async def next(self) -> dict[str, Any] | None:
        """The next booking; None when the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(30):
            async for raw in self._response.content:
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    assert fields["event"] == "booking"
                    self.last_id = fields.get("id", self.last_id)
                    told: dict[str, Any] = json.loads(fields["data"])
                    return told
        return None

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """The next booking that looks like this."""
        while (told := await self.next()) is not None:
            if wanted.items() <= told.items():
                return told
        raise AssertionError(f"the stream ended before {wanted}")


@asynccontextmanager
async def watching(app: Caller, ref: str, last_id: str | None = None) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {app.token}"} | ({} if last_id is None else {"Last-Event-ID": last_id})
    async with app.session.get(f"/v1/appointments/{ref}/events", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield Stream(response)


async def line_of(stage: Stage, spec: ClinicSpec, length: int) -> list[str]:
    async with stage.database.owner() as owner:
        return await line_up(owner, spec, length)


async def move(stage: Stage, spec: ClinicSpec, ref: str, events: tuple[EventType, ...]) -> None:
    async with stage.database.owner() as owner:
        await happen(owner, spec, ref, events)


async def test_the_line_moves_and_the_stream_ends_with_the_decision(app: Caller, stage: Stage) -> None:
    spec = SPECS[0]
    first, second, mine, behind = await line_of(stage, spec, 4)
    async with running(Role.RELAY, settings_for(stage.database, stage.kafka, "relay")), watching(app, mine) as stream:
        assert (await stream.until(status="pending"))["place"] == 3
        await move(stage, spec, behind, (EventType.CANCELLED,))
        await move(stage, spec, first, CONFIRMED)
        assert (await stream.until(place=2))["stage"] == "held"
        await move(stage, spec, second, (EventType.CANCELLED,))
        await stream.until(place=1)
        await move(stage, spec, mine, (EventType.CALLING,))
        await stream.until(stage="confirming")
        await move(stage, spec, mine, (EventType.CONFIRMED,))
        confirmed = await stream.until(status="confirmed")
        assert confirmed["place"] is None
        assert await stream.next() is None
    again = await app.get(f"/v1/appointments/{mine}/events", headers={"Last-Event-ID": stream.last_id})
    assert again.status == 204
    for last_id in ("1", "9" * 5_000, "\xb2"):  # what is none of ours says nothing
        assert (await app.get(f"/v1/appointments/{mine}/events", headers={"Last-Event-ID": last_id})).status == 200
    async with watching(app, mine, last_id="1") as late:
        assert (await late.next() or {})["status"] == "confirmed"


async def test_without_relay_postgres_is_asked(app: Caller, stage: Stage) -> None:
    spec = SPECS[1]
    first, mine = await line_of(stage, spec, 2)
    async with watching(app, mine) as stream:
        await stream.until(place=2)
        await move(stage, spec, first, (EventType.REJECTED,))
        await stream.until(place=1)
        await move(stage, spec, mine, (EventType.REJECTED,))
        told = await stream.until(status="rejected")
        assert told["reason"] == "prov"
        assert await stream.next() is None


async def test_a_stream_that_opens_before_hold_has_read_the_booking(app: Caller, stage: Stage) -> None:
    ref = (await app.book("watched", wish("0003-1"))).body["booking_ref"]
    async with watching(app, ref) as stream:
        assert (await stream.next() or {})["stage"] == "accepted"
        async with running(Role.HOLD, settings_for(stage.database, stage.kafka)):
            assert (await stream.until(stage="held"))["place"] == 1
        await move(stage, SPECS[2], ref, CONFIRMED)
        await stream.until(status="confirmed")


async def test_a_watcher_who_leaves_is_forgotten(app: Caller, stage: Stage) -> None:
    (mine,) = await line_of(stage, SPECS[4], 1)
    async with watching(app, mine) as stream:
        assert await stream.next()
        assert await watchers(app) == 1
    async with asyncio.timeout(5):
        while await watchers(app):
            await asyncio.sleep(0.05)
    head = await app.call("HEAD", f"/v1/appointments/{mine}/events")
    assert head.headers["Content-Type"].startswith("text/event-stream")


async def watchers(app: Caller) -> float:
    metrics: str = (await app.get("/metrics")).body
    (line,) = [line for line in metrics.splitlines() if line.startswith("waiting_room_watchers ")]
    return float(line.split()[1])


async def test_streams_end_when_ingress_stops(stage: Stage) -> None:
    (mine,) = await line_of(stage, SPECS[3], 1)
    headers = {"Authorization": f"Bearer {stage.token}"}
    async with aiohttp.ClientSession() as session:
        async with ingress(stage.kafka, stage.database) as base:
            response = await session.get(f"{base}/v1/appointments/{mine}/events", headers=headers)
            stream = Stream(response)
            assert (await stream.next() or {})["place"] == 1
        async with asyncio.timeout(2):
            assert await stream.next() is None
