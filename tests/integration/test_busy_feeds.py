"""A provider is subscribed to a calendar elsewhere: what is busy there is busy here, and stays so while it is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.stack import Kafka
from tests.support.calendar_server import SECRET, CalendarServer, busy_at, calendar, publishing
from tests.support.database import Database
from tests.support.holding import rows_of
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged, wish
from tests.support.log import until
from tests.support.running import running
from tests.support.world import SERVICE, clinics, settings_for, tomorrow
from waiting_room.access import OwnerKind, Scope
from workers.assemble import Role

SPECS = clinics(6)
PROVIDERS = [spec.provider_id for spec in SPECS]
HERE: dict[str, Any] = {"webhook_allow_networks": "127.0.0.0/8"}
OFTEN: dict[str, Any] = {**HERE, "busy_feed_seconds": 0.1, "sweep_every_seconds": 60.0}


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with (
        staged(kafka, template, SPECS) as stage,
        running(Role.HOLD, settings_for(stage.database, kafka)),
        running(Role.RELAY, settings_for(stage.database, kafka, "relay")),
        running(Role.SWEEP, settings_for(stage.database, kafka, "sweep", **OFTEN)),
    ):
        yield stage


@pytest.fixture(scope="module")
async def base(stage: Stage) -> AsyncIterator[str]:
    async with ingress(stage.kafka, stage.database, **HERE) as base:
        yield base


@pytest.fixture(scope="module")
async def app(stage: Stage, base: str) -> AsyncIterator[Caller]:
    async with Caller(base, stage.token) as caller:
        yield caller


@pytest.fixture(scope="module")
async def operator(stage: Stage, base: str) -> AsyncIterator[Caller]:
    async with Newcomer(stage.kafka, base, OwnerKind.OPERATOR, "olga") as caller:
        yield caller


@pytest.fixture
async def server() -> AsyncIterator[CalendarServer]:
    async with publishing(CalendarServer(calendar(busy_at(tomorrow(9))))) as server:
        yield server


async def subscribe(caller: Caller, provider_id: str, url: str) -> Answer:
    return await caller.call("PUT", f"/v1/providers/{provider_id}/busy-feed", json={"url": url})


async def stands(caller: Caller, provider_id: str, **wanted: Any) -> dict[str, Any]:
    """What is told of the calendar once these are true of it."""
    found: dict[str, Any] = {}

    async def are() -> bool:
        found.update((await caller.get(f"/v1/providers/{provider_id}/busy-feed")).body)
        return all(found[name] == value for name, value in wanted.items())

    await until(are)
    assert SECRET not in str(found)
    return found


async def asked_again(server: CalendarServer, times: int = 2) -> None:
    """Until it was asked so often since now: by then what it had answered first is stored."""
    before = len(server.asked)

    async def is_so() -> bool:
        return len(server.asked) >= before + times

    await until(is_so)


async def book(app: Caller, provider_id: str, hour: int) -> Answer:
    wanted = wish(provider_id, start_at=tomorrow(hour))
    return await app.book(str(uuid4()), wanted, headers={"Prefer": "wait=20"})


async def slots(app: Caller, provider_id: str, *hours: int) -> list[str]:
    """How they are."""
    asked = {"from": tomorrow(8).isoformat(), "to": tomorrow(20).isoformat(), "service": SERVICE}
    answer = await app.get(f"/v1/providers/{provider_id}/slots", params=asked)
    found = {datetime.fromisoformat(each["start_at"]): each["status"] for each in answer.body["slots"]}
    return [found[tomorrow(hour)] for hour in hours]


async def busy_of(database: Database, provider_id: str) -> list[tuple[Any, ...]]:
    """All its busy times, with the version of each row."""
    query = (
        f"SELECT source, lower(during), xmin::text FROM busy_times WHERE provider_id = '{provider_id}' ORDER BY 1, 2"
    )
    return [tuple(row) for row in await rows_of(database, query)]


async def test_what_is_busy_there_is_busy_here(app: Caller, operator: Caller, server: CalendarServer) -> None:
    provider = PROVIDERS[0]
    booked = await book(app, provider, 9)
    assert booked.status == 201
    assert await slots(app, provider, 9, 10, 15) == ["busy", "free", "free"]
    server.body, server.etag = calendar(busy_at(tomorrow(9), minutes=120)), '"1"'
    put = await subscribe(operator, provider, server.url)
    assert (put.status, put.body["host"], put.body["state"]) == (200, "127.0.0.1", "new"), put.body
    assert SECRET not in str(put.body)

    stood = await stands(operator, provider, state="read", count=1)
    assert stood["read_at"] >= stood["put_at"]
    (unfit,) = stood["unfit"]
    assert (unfit["booking_ref"], unfit["why"]) == (booked.body["booking_ref"], "busy")
    assert (await app.get(booked.headers["Location"])).body["status"] == "confirmed"
    assert await slots(app, provider, 9, 10, 15) == ["busy", "busy", "free"]
    assert (await book(app, provider, 10)).body["reason"] == "slot_taken"

    await asked_again(server)
    assert server.conditions[0] is None
    assert server.conditions[-1] == '"1"'
    server.body, server.etag = calendar(busy_at(tomorrow(15))), '"2"'
    await stands(operator, provider, unfit=[])
    assert await slots(app, provider, 9, 10, 15) == ["busy", "free", "busy"]
    assert (await operator.call("DELETE", f"/v1/providers/{provider}/busy-feed")).status == 204
    assert await slots(app, provider, 9, 10, 15) == ["busy", "free", "free"]
    for method in ("GET", "DELETE"):
        answer = await operator.call(method, f"/v1/providers/{provider}/busy-feed")
        assert (answer.status, answer.problem) == (404, "unknown-entry")


async def test_what_others_say_is_let_be(stage: Stage, operator: Caller, server: CalendarServer) -> None:
    provider, clinic_id = PROVIDERS[1], SPECS[1].clinic_id
    span = {"from": tomorrow(11).isoformat(), "to": tomorrow(12).isoformat()}
    assert (await operator.call("PUT", f"/v1/providers/{provider}/busy/phone", json=span)).status == 200

    async def send(source: str, body: bytes) -> Answer:
        headers = {"Content-Type": "text/calendar"}
        return await operator.call(
            "PUT", f"/v1/providers/{provider}/busy.ics?source={source}", data=body, headers=headers
        )

    assert (await send("outlook", calendar(busy_at(tomorrow(12))))).status == 200
    async with stage.database.owner() as owner:
        await owner.execute(
            "INSERT INTO busy_times VALUES ($1, $2, 'clinic-system', 'tel-1', tstzrange($3, $4))",
            *(clinic_id, provider, tomorrow(13), tomorrow(14)),
        )
    await subscribe(operator, provider, server.url)
    await stands(operator, provider, state="read", count=1)

    async def sources() -> list[str]:
        return [source for source, *_ in await busy_of(stage.database, provider)]

    assert await sources() == ["api", "busy-feed", "clinic-system", "outlook"]
    assert (await send("outlook", calendar())).status == 200
    assert await sources() == ["api", "busy-feed", "clinic-system"]
    for ours in ("busy-feed", "clinic-system"):
        answer = await send(ours, calendar())
        assert (answer.status, answer.problem) == (400, "bad-parameter")
        path = f"/v1/providers/{provider}/busy/tel-1?source={ours}"
        assert (await operator.call("DELETE", path)).status == 400
    server.body = calendar()
    await stands(operator, provider, count=0)
    assert await sources() == ["api", "clinic-system"]
    server.body = calendar(busy_at(tomorrow(9)))
    await stands(operator, provider, count=1)
    assert (await operator.call("DELETE", f"/v1/providers/{provider}/busy-feed")).status == 204
    assert await sources() == ["api", "clinic-system"]


async def test_a_calendar_that_is_away_stands_as_it_was(stage: Stage, operator: Caller, server: CalendarServer) -> None:
    provider = PROVIDERS[2]
    await subscribe(operator, provider, server.url)
    read = await stands(operator, provider, state="read", count=1)
    known = await busy_of(stage.database, provider)
    good = server.body
    for body, status, words in (
        (b"", 503, "answers 503."),
        (b"", 404, "was withdrawn"),
        (b"<html>Please log in, Jane Doe</html>", 200, "no calendar that can be read: ValueError."),
        (good[: len(good) // 2], 200, "no calendar that can be read"),
        (b"x" * 3_000_000, 200, "longer than"),
    ):
        server.body, server.status = body, status
        await subscribe(operator, provider, server.url)
        stood = await stands(operator, provider, state="failing")
        assert words in stood["error"], stood
        assert "Jane" not in stood["error"]
        assert (stood["count"], stood["read_at"]) == (1, None)
        assert await busy_of(stage.database, provider) == known
    await until_failed(operator, provider, 2)
    server.body, server.status = good, 200
    stood = await stands(operator, provider, state="read")
    assert (stood["count"], stood["failures"], stood["error"]) == (1, 0, None)
    assert stood["read_at"] > read["read_at"]
    assert await busy_of(stage.database, provider) == known
    text = str(await rows_of(stage.database, "SELECT busy_feeds::text FROM busy_feeds"))
    assert SECRET.encode().hex() not in text, "what is kept of the address is sealed"
    assert SECRET not in text


async def until_failed(caller: Caller, provider_id: str, times: int) -> None:
    async def is_so() -> bool:
        answer = await caller.get(f"/v1/providers/{provider_id}/busy-feed")
        return bool(answer.body["failures"] >= times)

    await until(is_so)


async def test_reading_the_same_again_changes_nothing(stage: Stage, operator: Caller, server: CalendarServer) -> None:
    provider, clinic_id = PROVIDERS[3], SPECS[3].clinic_id
    events = [busy_at(tomorrow(hour), f"UID:{hour}", "RRULE:FREQ=DAILY") for hour in (9, 11)]
    server.body = calendar(*events)
    await subscribe(operator, provider, server.url)
    stood = await stands(operator, provider, state="read")

    async def all_there_is() -> tuple[Any, ...]:
        query = f"SELECT busy_version FROM clinic_counters WHERE clinic_id = '{clinic_id}'"
        (row,) = await rows_of(stage.database, query)
        return row["busy_version"], await busy_of(stage.database, provider)

    known = await all_there_is()
    assert len(known[1]) == stood["count"] > 150
    await asked_again(server)
    assert await all_there_is() == known, "not expanded"
    server.body = calendar(*reversed(events), before="X-WR-CALNAME:another")
    await asked_again(server, 3)
    assert await all_there_is() == known, "expanded, and compared with what is known"


async def test_it_is_read_as_a_whole_once_a_day(stage: Stage, operator: Caller, server: CalendarServer) -> None:
    provider, server.etag = PROVIDERS[4], '"1"'
    await subscribe(operator, provider, server.url)
    await stands(operator, provider, state="read")
    await asked_again(server)
    assert server.conditions.count(None) == 1
    async with stage.database.owner() as owner:
        await owner.execute(
            "UPDATE busy_feeds SET whole_at = whole_at - interval '1 day' WHERE provider_id = $1", provider
        )
    await asked_again(server, 3)
    assert server.conditions.count(None) == 2, "what repeats for ever reaches a day further by now"


async def test_an_address_that_cannot_be_is_refused(stage: Stage, base: str, app: Caller, operator: Caller) -> None:
    provider = PROVIDERS[5]
    for url in (
        "ftp://calendar.example/a.ics",
        "https://me:secret@calendar.example/a.ics",
        "https://10.0.0.1/a.ics",
        "https://calendar.example/a b.ics",
        "https:///a.ics",
    ):
        answer = await subscribe(operator, provider, url)
        assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "/url"), answer.body
        assert url not in str(answer.body)
    assert (await subscribe(app, provider, "https://calendar.example/a.ics")).status == 403
    assert (await subscribe(operator, "nobody", "https://calendar.example/a.ics")).status == 404
    async with Newcomer(stage.kafka, base, OwnerKind.CLINIC, SPECS[5].clinic_id, Scope.CLINIC_READ) as reader:
        assert (await subscribe(reader, provider, "https://calendar.example/a.ics")).status == 403
        assert (await reader.get(f"/v1/providers/{provider}/busy-feed")).status == 404
        assert (await reader.get(f"/v1/providers/{PROVIDERS[4]}/busy-feed")).status == 403
