"""Clinics change their calendars while bookings flow: rules, overrides, busy times, feeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import icalendar
import pytest

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged, wish
from tests.support.running import running
from tests.support.world import clinics, settings_for, tomorrow
from waiting_room.access import OwnerKind, Scope
from workers.assemble import Role

SPECS = clinics(6)
MORNING = {"weekday": tomorrow().isoweekday(), "from": "09:00", "to": "12:00", "slot_minutes": 30}


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with (
        staged(kafka, template, SPECS) as stage,
        running(Role.HOLD, settings_for(stage.database, kafka)),
        running(Role.RELAY, settings_for(stage.database, kafka, "relay")),
    ):
        yield stage


@pytest.fixture(scope="module")
async def base(stage: Stage) -> AsyncIterator[str]:
    async with ingress(stage.kafka, stage.database) as base:
        yield base


@pytest.fixture(scope="module")
async def app(stage: Stage, base: str) -> AsyncIterator[Caller]:
    async with Caller(base, stage.token) as caller:
        yield caller


@pytest.fixture(scope="module")
async def operator(stage: Stage, base: str) -> AsyncIterator[Caller]:
    """May change every clinic's calendar."""
    async with Newcomer(stage.kafka, base, OwnerKind.OPERATOR, "olga") as caller:
        yield caller


async def put(caller: Caller, path: str, body: Any, **headers: str) -> Answer:
    return await caller.call("PUT", f"/v1/providers/{path}", json=body, headers=headers)


async def book(app: Caller, provider_id: str, hour: int, minute: int = 0) -> Answer:
    wanted = wish(provider_id, start_at=tomorrow(hour, minute))
    return await app.book(str(uuid4()), wanted, headers={"Prefer": "wait=20"})


async def refused_at_the_door(app: Caller, provider_id: str, hour: int) -> Answer:
    """Once ingress has heard of the new rules."""
    async with asyncio.timeout(60):
        while True:
            answer = await book(app, provider_id, hour)
            if answer.status == 422:
                return answer
            assert answer.status == 409, answer.body
            assert answer.body["reason"] == "outside_hours"


async def test_rules_are_replaced_as_a_whole_and_what_no_longer_fits_is_told(app: Caller, operator: Caller) -> None:
    provider = SPECS[0].provider_id
    booked = await book(app, provider, 15)
    assert booked.status == 201
    read = await operator.get(f"/v1/providers/{provider}/availability")
    assert (read.headers["ETag"], read.body["version"], read.body["unfit"]) == ('"0"', 0, [])
    assert read.body["availability"]["weekly"][0]["to"] == "23:30"

    answer = await put(operator, f"{provider}/availability", {"weekly": [MORNING]}, **{"If-Match": '"0"'})
    assert (answer.status, answer.headers["ETag"]) == (200, '"1"')
    (unfit,) = answer.body["unfit"]
    assert (unfit["booking_ref"], unfit["why"]) == (booked.body["booking_ref"], "closed")
    assert (await app.get(booked.headers["Location"])).body["status"] == "confirmed"

    late = await refused_at_the_door(app, provider, 16)
    assert late.body["type"] == "/problems/start-not-offered"
    assert (await book(app, provider, 9)).status == 201


async def test_who_has_seen_another_version_replaces_nothing(operator: Caller) -> None:
    path = f"{SPECS[1].provider_id}/availability"
    body = {"weekly": [MORNING]}
    assert (await put(operator, path, body)).body["type"] == "/problems/if-match-missing"
    answers = await asyncio.gather(*(put(operator, path, body, **{"If-Match": '"0"'}) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 412, 412, 412, 412]
    stale = next(answer for answer in answers if answer.status == 412)
    assert (stale.headers["ETag"], stale.body["type"]) == ('"1"', "/problems/changed-meanwhile")
    assert (await put(operator, path, body, **{"If-Match": "*"})).headers["ETag"] == '"2"'


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"weekly": [{**MORNING, "to": "08:00"}]}, "/weekly/0/to"),
        ({"weekly": [{**MORNING, "form": "08:00"}]}, "/weekly/0/form"),
        ({"weekly": [{**MORNING, "weekday": 8}]}, "/weekly/0/weekday"),
        ({"weekly": [], "holidays": {"country": "XX"}}, "/holidays"),
        ({}, "/weekly"),
    ],
)
async def test_rules_that_cannot_be(operator: Caller, body: dict[str, Any], pointer: str) -> None:
    answer = await put(operator, f"{SPECS[2].provider_id}/availability", body, **{"If-Match": "*"})
    assert answer.status == 422, answer.body
    assert [error["pointer"] for error in answer.body["errors"]] == [pointer]


async def test_only_the_clinic_itself_changes_its_calendar(stage: Stage, base: str, app: Caller) -> None:
    mine, others = (f"{spec.provider_id}/availability" for spec in SPECS[2:4])
    body, any_version = {"weekly": [MORNING]}, {"If-Match": "*"}
    assert (await put(app, mine, body, **any_version)).status == 403
    async with Newcomer(stage.kafka, base, OwnerKind.CLINIC, SPECS[2].clinic_id) as clinic:
        assert (await put(clinic, mine, body, **any_version)).status == 200
        assert (await put(clinic, others, body, **any_version)).status == 403
        assert (await clinic.get("/v1/providers/nobody/availability")).status == 404
    async with Newcomer(stage.kafka, base, OwnerKind.CLINIC, SPECS[2].clinic_id, Scope.CLINIC_READ) as reader:
        assert (await reader.get(f"/v1/providers/{mine}")).status == 200
        assert (await put(reader, mine, body, **any_version)).status == 403


async def test_a_block_closes_time_until_it_is_taken_back(app: Caller, operator: Caller) -> None:
    provider = SPECS[3].provider_id
    booked = (await book(app, provider, 9)).body["booking_ref"]
    path = f"{provider}/overrides/congress"
    block = {"kind": "block", "from": tomorrow(9).isoformat(), "to": tomorrow(12).isoformat()}
    answer = await put(operator, path, block)
    assert [each["booking_ref"] for each in answer.body["unfit"]] == [booked]
    assert (await put(operator, path, block)).status == 200
    listed = (await operator.get(f"/v1/providers/{provider}/overrides")).body["overrides"]
    assert [(each["override_id"], each["kind"]) for each in listed] == [("congress", "block")]
    assert (await book(app, provider, 10)).status in (409, 422)
    assert (await operator.call("DELETE", f"/v1/providers/{path}")).status == 204
    assert (await operator.call("DELETE", f"/v1/providers/{path}")).body["type"] == "/problems/unknown-entry"
    async with asyncio.timeout(60):
        while (await book(app, provider, 10)).status != 201:
            pass
    for wrong in ({**block, "slot_minutes": 30}, {**block, "kind": "extend"}, {**block, "to": block["from"]}):
        assert (await put(operator, path, wrong)).status == 422


async def test_what_is_booked_by_phone_is_busy_here_at_once(app: Caller, operator: Caller) -> None:
    provider = SPECS[4].provider_id
    span = {"from": tomorrow(9).isoformat(), "to": tomorrow(10).isoformat()}
    assert (await put(operator, f"{provider}/busy/phone-1", span)).body["count"] == 1
    assert (await book(app, provider, 9)).body["reason"] == "slot_taken"
    assert (await operator.call("DELETE", f"/v1/providers/{provider}/busy/phone-1")).status == 204
    booked = await book(app, provider, 9)
    assert booked.status == 201
    entries = [{"busy_id": "a", **span}, {"busy_id": f"{booked.body['booking_ref']}@waiting-room", **span}]
    answer = await put(operator, f"{provider}/busy?source=pvs", {"busy": entries})
    assert answer.body["count"] == 1
    assert [each["why"] for each in answer.body["unfit"]] == ["busy"]
    assert (await put(operator, f"{provider}/busy?source=pvs", {"busy": []})).body == {
        "source": "pvs",
        "count": 0,
        "unfit": [],
    }
    assert (await operator.get(f"/v1/providers/{provider}/busy")).body == {"busy": []}


def ics(*events: str) -> bytes:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:{number}", *event.split("|"), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


async def test_a_calendar_file_is_read_with_its_repetitions(app: Caller, operator: Caller) -> None:
    provider = SPECS[4].provider_id
    stamp = f"{tomorrow(11):%Y%m%dT%H%M%SZ}"

    async def send(body: bytes) -> Answer:
        headers = {"Content-Type": "text/calendar"}
        path = f"/v1/providers/{provider}/busy.ics?source=file"
        return await operator.call("PUT", path, data=body, headers=headers)

    daily = f"DTSTART:{stamp}|DURATION:PT30M|RRULE:FREQ=DAILY;COUNT=3"
    free = f"DTSTART:{stamp}|DURATION:PT9H|TRANSP:TRANSPARENT"
    answer = await send(ics(daily, free))
    assert (answer.status, answer.body["count"]) == (200, 3), answer.body
    assert (await book(app, provider, 11)).body["reason"] == "slot_taken"
    assert (await book(app, provider, 11, 30)).status == 201
    for unreadable in (b"nothing", ics(f"DTSTART:{stamp}|RRULE:FREQ=SECONDLY")):
        answer = await send(unreadable)
        assert (answer.status, answer.body["type"]) == (422, "/problems/unreadable-calendar")
    answer = await operator.call("PUT", f"/v1/providers/{provider}/busy.ics?source=file", json={})
    assert (answer.status, answer.body["type"]) == (415, "/problems/not-a-calendar")


async def test_a_feed_tells_what_is_booked_and_of_nobody(app: Caller, operator: Caller) -> None:
    provider = SPECS[5].provider_id
    booked = (await book(app, provider, 9)).body["booking_ref"]
    address = (await operator.call("POST", f"/v1/providers/{provider}/feed")).body["address"]
    async with Caller(str(app.base), None) as anybody:
        read = await anybody.get(address)
        calendar = icalendar.Calendar.from_ical(read.body)
        event: Any
        (event,) = calendar.walk("VEVENT")
        assert (str(event["UID"]), str(event["STATUS"])) == (f"{booked}@waiting-room", "CONFIRMED")
        assert (event["DTSTART"].dt, event["DTEND"].dt) == (tomorrow(9), tomorrow(9) + timedelta(minutes=30))
        assert "patient" not in read.body
        assert (await anybody.get(address, headers={"If-None-Match": read.headers["ETag"]})).status == 304
        new = (await operator.call("POST", f"/v1/providers/{provider}/feed")).body["address"]
        assert (await anybody.get(address)).status == 404
        assert (await anybody.get(new)).status == 200
        assert (await operator.call("DELETE", f"/v1/providers/{provider}/feed")).status == 204
        assert (await anybody.get(new)).status == 404
