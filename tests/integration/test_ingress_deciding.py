"""Bookings that are decided: with hold and relay at work at clinics whose calendar the platform keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.stack import Kafka
from tests.support.commands import APP, REFS
from tests.support.database import Database
from tests.support.ingress import Caller, Stage, ingress, staged, wish
from tests.support.running import running
from tests.support.world import clinics, settings_for, tomorrow
from workers.assemble import Role


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with (
        staged(kafka, template, clinics(3)) as stage,
        running(Role.HOLD, settings_for(stage.database, kafka)),
        running(Role.RELAY, settings_for(stage.database, kafka, "relay")),
    ):
        yield stage


@pytest.fixture(scope="module")
async def app(stage: Stage) -> AsyncIterator[Caller]:
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as caller:
        yield caller


@pytest.fixture
def key() -> str:
    return str(uuid4())


async def decided(caller: Caller, ref: str) -> str:
    """Its status, once it is decided."""
    async with asyncio.timeout(60):
        while (status := (await caller.get(f"/v1/appointments/{ref}")).body["status"]) == "pending":
            await asyncio.sleep(0.05)
    return str(status)


async def test_a_caller_who_waits_is_told_that_it_is_confirmed(app: Caller, key: str) -> None:
    wanted = wish(start_at=tomorrow(1))
    answer = await app.book(key, wanted, headers={"Prefer": "wait=20"})
    assert answer.status == 201
    assert answer.body["status"] == "confirmed"
    assert answer.body["stage"] is None
    assert answer.body["timezone"] == "UTC"
    again = await app.book(key, wanted, headers={"Prefer": "respond-async, wait=20"})
    assert (again.status, again.body["booking_ref"]) == (201, answer.body["booking_ref"])
    read = await app.get(answer.headers["Location"])
    assert read.headers["ETag"] == '"3"'
    assert read.body["decided_at"] is not None
    history = await app.get(f"{answer.headers['Location']}/history")
    assert [event["event"] for event in history.body["events"]] == [
        "booking.accepted",
        "booking.held",
        "booking.confirmed",
    ]


async def test_a_caller_who_waits_is_told_why_it_was_not_made(app: Caller, key: str) -> None:
    wanted = wish(start_at=tomorrow(2))
    assert (await app.book(key, wanted, headers={"Prefer": "wait=20"})).status == 201
    lost = await app.book(f"{key}-2", wanted, headers={"Prefer": "wait=20"})
    assert lost.status == 409
    assert lost.body["type"] == "/problems/not-booked"
    assert (lost.body["booking_status"], lost.body["reason"]) == ("rejected", "slot_taken")
    assert "Choose another" in lost.body["next_step"]
    read = await app.get(lost.body["links"]["self"])
    assert (read.body["status"], read.body["next_step"]) == ("rejected", lost.body["next_step"])


async def test_a_cancel_is_carried_out_and_the_time_is_free_again(app: Caller, key: str) -> None:
    wanted = wish(start_at=tomorrow(3))
    ref = (await app.book(key, wanted)).body["booking_ref"]
    assert (await app.cancel(ref, f"{key}-cancel")).status == 202
    async with asyncio.timeout(60):
        while (read := await app.get(f"/v1/appointments/{ref}")).body["status"] != "cancelled":
            await asyncio.sleep(0.05)
    assert (read.body["by"], read.body["reason"]) == ("patient", "pat")
    assert (await app.book(f"{key}-2", wanted, headers={"Prefer": "wait=20"})).status == 201


async def test_a_booking_is_moved_and_says_so(app: Caller, key: str) -> None:
    ref = (await app.book(key, wish(start_at=tomorrow(7)), headers={"Prefer": "wait=20"})).body["booking_ref"]
    moving = await app.reschedule(ref, f"{key}-move", start_at=tomorrow(8).isoformat())
    assert (moving.status, moving.body["status"]) == (202, "rescheduling")
    again = await app.reschedule(ref, f"{key}-move", start_at=tomorrow(8).isoformat())
    assert again.body == moving.body
    async with asyncio.timeout(60):
        while "reschedule" not in (read := await app.get(f"/v1/appointments/{ref}")).body:
            await asyncio.sleep(0.05)
    assert read.body["reschedule"]["status"] == "rescheduled"
    assert read.body["start_at"] == tomorrow(8).isoformat().replace("+00:00", "Z")
    assert (await app.book(f"{key}-2", wish(start_at=tomorrow(7)), headers={"Prefer": "wait=20"})).status == 201
    await app.reschedule(ref, f"{key}-back", start_at=tomorrow(7).isoformat())
    async with asyncio.timeout(60):
        while (read := await app.get(f"/v1/appointments/{ref}")).body["reschedule"]["status"] != "refused":
            await asyncio.sleep(0.05)
    assert read.body["reschedule"]["reason"] == "slot_taken"
    assert read.body["start_at"] == tomorrow(8).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("body", "problem", "pointer"),
    [
        ({}, "start-or-range", ""),
        ({"start_at": "2020-01-01T00:00:00Z"}, "start-in-past", "/start_at"),
        ({"start_at": "2199-01-01T00:00:00Z"}, "too-far-ahead", "/start_at"),
        ({"provider_id": "0002-1", "start_at": "2199-01-01T00:00:00Z"}, "provider-elsewhere", "/provider_id"),
        ({"status": "confirmed"}, "unknown-field", "/status"),
    ],
)
async def test_a_wish_that_can_never_be_is_refused_at_once(
    app: Caller, key: str, body: dict[str, Any], problem: str, pointer: str
) -> None:
    ref = REFS.derive("0001", APP, key)
    answer = await app.reschedule(ref, f"{key}-move", **body)
    assert answer.status == 422
    assert answer.body["type"] == f"/problems/{problem}"
    assert answer.body["errors"][0]["pointer"] == pointer


async def test_a_key_sent_to_two_clinics_leads_to_one_booking(app: Caller, stage: Stage, key: str) -> None:
    first = await app.book(key, wish(start_at=tomorrow(4)), headers={"Prefer": "wait=20"})
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as elsewhere:
        other = await elsewhere.book(key, wish("0002-1", start_at=tomorrow(4)), headers={"Prefer": "wait=20"})
    assert first.status == other.status == 201
    assert other.body["booking_ref"] == first.body["booking_ref"]
    assert other.body["clinic_id"] == "0001"


async def test_a_ref_of_ours_that_was_never_appended_is_404_once_hold_has_read_all(app: Caller, key: str) -> None:
    ref = (await app.book(key, wish(start_at=tomorrow(5)))).body["booking_ref"]
    await decided(app, ref)
    never = f"/v1/appointments/{REFS.derive('0001', APP, f'{key}-never')}"
    async with asyncio.timeout(60):
        while (answer := await app.get(never)).status != 404:
            assert answer.body["accepted_at"] is None
    assert answer.body["type"] == "/problems/unknown-booking"


async def test_place_and_eta_come_from_the_pulse(app: Caller, key: str) -> None:
    async with asyncio.timeout(60):
        while (answer := await app.book(str(uuid4()), wish("0003-1", start_at=tomorrow(6)))).body["place"] is None:
            await asyncio.sleep(0.2)
    assert answer.body["place"] >= 1
    assert 0 < answer.body["eta"]["p50"] <= answer.body["eta"]["p90"] <= 1.5
    clinic = (await app.get("/v1/clinics/0003")).body
    assert clinic["next_place"] >= 1
