"""A clinic closes, and moves who is booked, over the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged, wish
from tests.support.running import running
from tests.support.world import clinics, settings_for, tomorrow
from waiting_room.access import OwnerKind
from workers.assemble import Role


@pytest.fixture
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with (
        staged(kafka, template, clinics(2)) as stage,
        running(Role.HOLD, settings_for(stage.database, kafka)),
        running(Role.RELAY, settings_for(stage.database, kafka, "relay")),
    ):
        yield stage


async def test_a_clinic_closes_and_its_patients_read_their_new_times(stage: Stage) -> None:
    async with (
        ingress(stage.kafka, stage.database) as base,
        Caller(base, stage.token) as app,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0001") as desk,
    ):
        wanted = wish("0001-1", start_at=tomorrow(10))
        ref = (await app.book(str(uuid4()), wanted, headers={"Prefer": "wait=20"})).body["booking_ref"]
        body = {"from": tomorrow(9).isoformat(), "to": tomorrow(12).isoformat()}
        headers = {"Idempotency-Key": str(uuid4())}
        answer = await desk.call("POST", "/v1/clinics/0001/closures", json=body, headers=headers)
        assert answer.status == 202
        assert answer.body["affected"] == [ref]
        async with asyncio.timeout(60):
            while (read := await app.get(f"/v1/appointments/{ref}")).body.get("reschedule") is None:
                await asyncio.sleep(0.05)
        assert read.body["start_at"] == tomorrow(12).isoformat().replace("+00:00", "Z")
        assert (read.body["status"], read.body["reschedule"]["by"]) == ("confirmed", "clinic")
        again = await desk.call("POST", "/v1/clinics/0001/closures", json=body, headers=headers)
        assert (again.status, again.body["closure_id"]) == (202, answer.body["closure_id"])
        for other in ({"to": tomorrow(13).isoformat()}, {"provider_ids": ["0001-1"]}):
            changed = await desk.call("POST", "/v1/clinics/0001/closures", json={**body, **other}, headers=headers)
            assert (changed.status, changed.problem) == (422, "key-reused")
        [block] = (await desk.get("/v1/providers/0001-1/overrides")).body["overrides"]
        assert [block[name][:19] for name in ("from", "to")] == [body[name][:19] for name in ("from", "to")]
        past, another = {"day": "2020-01-01"}, {"Idempotency-Key": str(uuid4())}
        over = await desk.call("POST", "/v1/clinics/0001/closures", json=past, headers=another)
        assert (over.status, over.problem, over.body["errors"][0]["pointer"]) == (422, "start-in-past", "/day")
        elsewhere = await desk.call("POST", "/v1/clinics/0002/closures", json=body, headers=headers)
        assert elsewhere.status == 403
        unknown = {**body, "provider_ids": ["0002-1"]}
        wrong = await desk.call("POST", "/v1/clinics/0001/closures", json=unknown, headers=headers)
        assert (wrong.status, wrong.body["errors"][0]["pointer"]) == (422, "/provider_ids/0")


async def test_who_was_moved_declines_inside_the_notice_over_the_api(stage: Stage) -> None:
    async with (
        ingress(stage.kafka, stage.database) as base,
        Caller(base, stage.token) as app,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0001") as desk,
    ):
        wanted = wish("0001-1", start_at=tomorrow(3))
        ref = (await app.book(str(uuid4()), wanted, headers={"Prefer": "wait=20"})).body["booking_ref"]
        async with stage.database.owner() as owner:
            await owner.execute("UPDATE appointments SET accepted_at = now() - interval '9 days'")
        body = {"from": tomorrow(3).isoformat(), "to": tomorrow(4).isoformat()}
        await desk.call("POST", "/v1/clinics/0001/closures", json=body, headers={"Idempotency-Key": str(uuid4())})
        async with asyncio.timeout(60):
            while (await app.get(f"/v1/appointments/{ref}")).body.get("reschedule") is None:
                await asyncio.sleep(0.05)
        assert (await app.cancel(ref, str(uuid4()))).status == 202
        async with asyncio.timeout(60):
            while (await app.get(f"/v1/appointments/{ref}")).body["status"] != "cancelled":
                await asyncio.sleep(0.05)


async def test_a_day_is_the_clinics_own(stage: Stage) -> None:
    async with (
        ingress(stage.kafka, stage.database) as base,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0002") as desk,
    ):

        async def close(**body: str) -> Answer:
            headers = {"Idempotency-Key": str(uuid4())}
            return await desk.call("POST", "/v1/clinics/0002/closures", json=body, headers=headers)

        day = tomorrow(0).date()
        answer = await close(day=day.isoformat())
        assert answer.status == 202
        assert [answer.body[name] for name in ("from", "to")] == [
            f"{each}T00:00:00Z" for each in (day, day + timedelta(days=1))
        ]
        both = {"day": day.isoformat(), "from": tomorrow(9).isoformat(), "to": tomorrow(10).isoformat()}
        for wrong in (both, {"from": tomorrow(9).isoformat()}, {"day": "9999-12-31"}, {}):
            refused = await close(**wrong)
            assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "/day")


async def test_a_clinic_moves_one_booking(stage: Stage) -> None:
    async with (
        ingress(stage.kafka, stage.database) as base,
        Caller(base, stage.token) as app,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0001") as desk,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0002") as other,
    ):
        wanted = wish("0001-1", start_at=tomorrow(15))
        ref = (await app.book(str(uuid4()), wanted, headers={"Prefer": "wait=20"})).body["booking_ref"]
        assert (await other.reschedule(ref, str(uuid4()), start_at=tomorrow(16).isoformat())).status == 404
        assert (await desk.reschedule(ref, str(uuid4()), start_at=tomorrow(16).isoformat())).status == 202
        async with asyncio.timeout(60):
            while (read := await app.get(f"/v1/appointments/{ref}")).body.get("reschedule") is None:
                await asyncio.sleep(0.05)
        assert (read.body["reschedule"]["status"], read.body["reschedule"]["by"]) == ("rescheduled", "clinic")
