"""What is free: by provider, and the earliest across a clinic or a business; never what was decided before."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.stack import Kafka
from tests.support.calendars import MORNING, put_busy, put_override, put_rules, rules
from tests.support.database import Database
from tests.support.ingress import Answer, Caller, Stage, ingress, staged, wish
from tests.support.running import running
from tests.support.valkey import valkey_for_tests
from tests.support.world import BUSINESS, SERVICE, clinics, settings_for, tomorrow
from tests.support.written import HELD, plant
from waiting_room.domain.availability.rules import Override, OverrideKind
from workers.assemble import Role

SPECS = [*clinics(5), *(clinics(6, capacity=2)[5:])]
SECONDS_OF_RACE = 4.0


@pytest.fixture(scope="module", params=["without a hot tier", "with one"])
async def tier(request: pytest.FixtureRequest) -> AsyncIterator[dict[str, Any]]:
    """What processes are told of it: all that is promised here holds with it and without."""
    if request.param == "with one":
        async with valkey_for_tests() as valkey:
            yield {"valkey_url": valkey.url}
    else:
        yield {}


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database, tier: dict[str, Any]) -> AsyncIterator[Stage]:
    async with (
        staged(kafka, template, SPECS) as stage,
        running(Role.HOLD, settings_for(stage.database, kafka, **tier)),
        running(Role.RELAY, settings_for(stage.database, kafka, "relay")),
    ):
        yield stage


@pytest.fixture(scope="module")
async def bases(stage: Stage, tier: dict[str, Any]) -> AsyncIterator[list[str]]:
    """Two ingresses, each with copies of its own."""
    async with AsyncExitStack() as open_:
        yield [await open_.enter_async_context(ingress(stage.kafka, stage.database, **tier)) for _ in range(2)]


@pytest.fixture(scope="module")
async def app(stage: Stage, bases: list[str]) -> AsyncIterator[Caller]:
    async with Caller(bases[0], stage.token) as caller:
        yield caller


def day(**more: str) -> dict[str, str]:
    """Of tomorrow."""
    to_at = tomorrow(0) + timedelta(days=1)
    return {"from": tomorrow(0).isoformat(), "to": to_at.isoformat(), "service": SERVICE, **more}


async def slots(caller: Caller, provider_id: str, **more: str) -> Answer:
    answer = await caller.get(f"/v1/providers/{provider_id}/slots", params=day(**more))
    assert answer.status == 200, answer.body
    return answer


def statuses(answer: Answer) -> dict[datetime, str]:
    return {datetime.fromisoformat(each["start_at"]): each["status"] for each in answer.body["slots"]}


async def book(app: Caller, provider_id: str, start_at: datetime) -> Answer:
    return await app.book(str(uuid4()), wish(provider_id, start_at=start_at), headers={"Prefer": "wait=20"})


async def test_slots_are_free_tentative_or_busy(stage: Stage, app: Caller) -> None:
    spec = SPECS[0]
    assert set(statuses(await slots(app, spec.provider_id)).values()) == {"free"}
    async with stage.database.owner() as owner:
        await plant(owner, spec, 4, HELD)  # at two, and its clinic has not decided
    assert (await book(app, spec.provider_id, tomorrow(9))).status == 201
    await put_busy(stage.database, spec, 11)
    answer = await slots(app, spec.provider_id)
    found = statuses(answer)
    assert len(found) == 47
    taken = {at: status for at, status in found.items() if status != "free"}
    assert taken == {
        tomorrow(2): "busy-tentative",
        tomorrow(9): "busy",
        tomorrow(11): "busy",
        tomorrow(11, 30): "busy",
    }
    assert datetime.fromisoformat(answer.body["as_of"]).tzinfo is not None
    assert answer.body["timezone"] == "UTC"


async def test_what_changes_is_seen_at_once_and_what_does_not_need_not_be_sent_again(stage: Stage, app: Caller) -> None:
    spec = SPECS[1]
    before = await slots(app, spec.provider_id)
    again = await app.get(
        f"/v1/providers/{spec.provider_id}/slots",
        params=day(),
        headers={"If-None-Match": before.headers["ETag"]},
    )
    assert again.status == 304
    booked = await book(app, spec.provider_id, tomorrow(10))
    assert statuses(await slots(app, spec.provider_id))[tomorrow(10)] == "busy"
    await app.cancel(booked.body["booking_ref"], str(uuid4()))
    async with asyncio.timeout(60):
        while statuses(await slots(app, spec.provider_id))[tomorrow(10)] != "free":
            pass
    await put_rules(stage.database, spec, rules())
    assert list(statuses(await slots(app, spec.provider_id))) == [
        tomorrow(hour, minute) for hour in (9, 10, 11) for minute in (0, 30)
    ]
    block = Override(override_id="1", kind=OverrideKind.BLOCK, from_at=tomorrow(10), to_at=tomorrow(11))
    await put_override(stage.database, spec, block)
    assert tomorrow(10) not in statuses(await slots(app, spec.provider_id))
    await put_rules(stage.database, spec, rules(notice_minutes=10_000))
    assert statuses(await slots(app, spec.provider_id)) == {}


async def test_a_booking_that_is_moved_frees_one_time_and_takes_another(app: Caller) -> None:
    provider = SPECS[2].provider_id
    booked = await book(app, provider, tomorrow(10))
    assert statuses(await slots(app, provider))[tomorrow(10)] == "busy"
    address = f"{booked.headers['Location']}/reschedule"
    body, headers = {"start_at": tomorrow(20).isoformat()}, {"Idempotency-Key": str(uuid4())}
    assert (await app.call("PATCH", address, json=body, headers=headers)).status == 202
    async with asyncio.timeout(60):
        while (await app.get(booked.headers["Location"])).body["start_at"] != body["start_at"].replace("+00:00", "Z"):
            pass
    found = statuses(await slots(app, provider))
    assert (found[tomorrow(10)], found[tomorrow(20)]) == ("free", "busy")


async def test_pages_follow_each_other(app: Caller) -> None:
    whole = statuses(await slots(app, SPECS[2].provider_id))
    page = await slots(app, SPECS[2].provider_id, limit="20")
    found = statuses(page)
    while page.body["next"]:
        page = await app.get(page.body["next"])
        found |= statuses(page)
    assert list(found) == list(whole)
    by_minutes = {**day(), "duration": "90"}
    del by_minutes["service"]
    longer = await app.get(f"/v1/providers/{SPECS[2].provider_id}/slots", params=by_minutes)
    first = longer.body["slots"][0]
    length = datetime.fromisoformat(first["end_at"]) - datetime.fromisoformat(first["start_at"])
    assert length == timedelta(minutes=90)


async def test_a_provider_with_seats_side_by_side_says_how_many_are_left(app: Caller) -> None:
    spec = SPECS[5]
    for left in (1, 0):
        assert (await book(app, spec.provider_id, tomorrow(9))).status == 201
        slot = next(
            each
            for each in (await slots(app, spec.provider_id)).body["slots"]
            if datetime.fromisoformat(each["start_at"]) == tomorrow(9)
        )
        assert (slot["free_seats"], slot["status"]) == (left, "free" if left else "busy")


async def test_the_earliest_slot_of_a_clinic_and_of_a_business(stage: Stage, app: Caller) -> None:
    for spec in SPECS:
        await put_rules(stage.database, spec, rules())
    await put_rules(stage.database, SPECS[3], rules({**MORNING, "from": "07:00", "to": "08:00"}))
    query = {"service": SERVICE, "limit": "3"}
    answer = await app.get(f"/v1/businesses/{BUSINESS}/slots", params=query)
    found = [(each["provider_id"], datetime.fromisoformat(each["start_at"])) for each in answer.body["slots"]]
    assert found[:2] == [(SPECS[3].provider_id, tomorrow(7)), (SPECS[3].provider_id, tomorrow(7, 30))]
    async with asyncio.timeout(60):  # at the door the new rules are known when relay has published them
        while (await book(app, SPECS[3].provider_id, tomorrow(7))).status != 201:
            pass
    answer = await app.get(f"/v1/clinics/{SPECS[3].clinic_id}/slots", params={"service": SERVICE})
    assert [datetime.fromisoformat(each["start_at"]) for each in answer.body["slots"]] == [tomorrow(7, 30)]


@pytest.mark.parametrize(
    ("path", "query", "status", "name"),
    [
        ("providers/nobody/slots", {"service": SERVICE}, 404, "not-found"),
        ("providers/0001-1/slots", {}, 422, "service-or-duration"),
        ("providers/0001-1/slots", {"service": SERVICE, "duration": "10"}, 422, "service-or-duration"),
        ("providers/0001-1/slots", {"service": "magic"}, 422, "unknown-service"),
        ("providers/0001-1/slots", {"duration": "0"}, 400, "bad-parameter"),
        ("providers/0001-1/slots", {"service": SERVICE, "from": "soon"}, 400, "bad-parameter"),
        ("providers/0001-1/slots", {"service": SERVICE, "to": "2020-01-01T00:00:00Z"}, 422, "range-empty"),
        ("providers/0001-1/slots", {"service": SERVICE, "to": "2199-01-01T00:00:00Z"}, 422, "range-too-long"),
        ("providers/0001-1/slots", {"service": SERVICE, "cursor": "IjIwMjctMDEtMDEi"}, 422, "bad-cursor"),
        ("clinics/ZZZZ/slots", {"service": SERVICE}, 404, "not-found"),
        ("clinics/0001/slots", {}, 400, "bad-parameter"),
        ("businesses/nobody/slots", {"service": SERVICE}, 404, "not-found"),
        ("businesses/demo/slots", {"service": "magic"}, 422, "unknown-service"),
    ],
)
async def test_what_cannot_be_asked(app: Caller, path: str, query: dict[str, Any], status: int, name: str) -> None:
    answer = await app.get(f"/v1/{path}", params=query)
    assert (answer.status, answer.body["type"]) == (status, f"/problems/{name}")
    assert status == 404 or answer.body["errors"][0]["parameter"] in ("service", "duration", "from", "to", "cursor")


async def test_no_answer_ever_shows_a_slot_free_that_was_decided_before_it_was_asked_for(
    stage: Stage, bases: list[str]
) -> None:
    """Bookings and cancels at two clinics, and readers at two ingresses that know nothing of each other."""
    specs = SPECS[4:6]
    whole_day = rules({**MORNING, "from": "00:00", "to": "24:00", "slot_minutes": 10})
    for spec in specs:
        await put_rules(stage.database, spec, whole_day, capacity=1)
    taken: set[tuple[str, datetime]] = set()
    answers, chance = 0, random.Random(5)
    loop = asyncio.get_running_loop()
    until = loop.time() + SECONDS_OF_RACE

    def racing() -> bool:
        """On a slow machine for longer."""
        return loop.time() < until or not taken or answers <= 20

    async def booker(base: str) -> None:
        async with Caller(base, stage.token) as app:
            while racing():
                spec = chance.choice(specs)
                start_at = tomorrow(0) + chance.randrange(140) * timedelta(minutes=10)
                answer = await book(app, spec.provider_id, start_at)
                if answer.status != 201:
                    continue
                if chance.random() < 0.3:
                    await app.cancel(answer.body["booking_ref"], str(uuid4()))
                else:
                    taken.add((spec.provider_id, start_at))  # and is never given back

    async def reader(base: str) -> None:
        nonlocal answers
        async with Caller(base, stage.token) as app:
            while racing():
                spec = chance.choice(specs)
                decided = {start_at for provider_id, start_at in taken if provider_id == spec.provider_id}
                found = statuses(await slots(app, spec.provider_id, limit="1000"))
                assert not {at for at in decided if found[at] == "free"}
                answers += 1

    async with asyncio.timeout(120):
        await asyncio.gather(*(booker(base) for base in bases * 4), *(reader(base) for base in bases * 3))
