"""The waitlist as callers meet it: joined, watched, answered and left, with hold, relay and sweep at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.test_ingress_watching import watching
from tests.stack import Kafka
from tests.support.database import Database
from tests.support.holding import REST
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged, wish
from tests.support.log import everything_in
from tests.support.running import running
from tests.support.waiting import RUN_OUT
from tests.support.world import ClinicSpec, clinics, settings_for, tomorrow
from waiting_room.access import OwnerKind
from waiting_room.domain.booking_ref import clinic_id_of_number
from waiting_room.messages import Confirmation, Reader
from waiting_room.topics import CLINIC_CONFIRMATIONS_PRIORITY
from workers.assemble import Role

THEIRS = ClinicSpec(clinic_id_of_number(3), endpoint=REST, partition=3)
_doorbell: Reader[Confirmation] = Reader(Confirmation)


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with (
        staged(kafka, template, [*clinics(2), THEIRS]) as stage,
        running(Role.HOLD, settings_for(stage.database, kafka)),
        running(Role.RELAY, settings_for(stage.database, kafka, "relay")),
        running(Role.SWEEP, settings_for(stage.database, kafka, "sweep")),
    ):
        yield stage


@pytest.fixture(scope="module")
async def app(stage: Stage) -> AsyncIterator[Caller]:
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as caller:
        yield caller


async def join(app: Caller, body: dict[str, Any], wait: int = 20) -> Answer:
    headers = {"Idempotency-Key": str(uuid4()), **({"Prefer": f"wait={wait}"} if wait else {})}
    return await app.call("POST", "/v1/waitlist", json=body, headers=headers)


async def leave(app: Caller, ref: str) -> Answer:
    return await app.call("DELETE", f"/v1/waitlist/{ref}", headers={"Idempotency-Key": str(uuid4())})


async def answer(app: Caller, offer: dict[str, Any], how: str) -> Answer:
    return await app.call("POST", offer["links"][how])


async def until(app: Caller, ref: str, **wanted: Any) -> dict[str, Any]:
    """The booking, once it looks like this."""
    async with asyncio.timeout(60):
        while not wanted.items() <= (told := (await app.get(f"/v1/appointments/{ref}")).body).items():
            await asyncio.sleep(0.05)
    return dict(told)


async def test_from_a_slot_that_is_taken_to_an_appointment(app: Caller, stage: Stage) -> None:
    wanted = wish(start_at=tomorrow(1))
    booked = (await join(app, wanted)).body
    assert (booked["status"], "waitlist" in booked) == ("confirmed", False), "it was free: there is nothing to wait for"
    lost = await app.book(str(uuid4()), wanted, headers={"Prefer": "wait=20"})
    assert lost.status == 409
    assert lost.body["waitlist"] == {"method": "POST", "href": "/v1/waitlist"}
    read = (await app.get(lost.body["links"]["self"])).body
    assert read["join_waitlist"] == lost.body["waitlist"]

    first, second = [(await join(app, wanted)) for _ in range(2)]
    assert (first.status, first.body["status"], first.body["stage"]) == (201, "waitlisted", "waiting")
    assert first.body["place"] == 1
    assert second.body["place"] == 2
    assert first.body["waitlist"]["from"] == wanted["start_at"].replace("+00:00", "Z")
    refs = [each.body["booking_ref"] for each in (first, second)]
    async with watching(app, refs[0]) as stream:
        await stream.until(stage="waiting")
        await app.cancel(booked["booking_ref"], str(uuid4()))
        told = await stream.until(stage="offered")
        offer = told["waitlist"]["offer"]
        assert (told["start_at"], told["provider_id"]) == (wanted["start_at"].replace("+00:00", "Z"), "0001-1")
        assert offer["to_all"] is False
        declined = await answer(app, offer, "decline")
        assert (declined.status, declined.body["stage"]) == (200, "waiting")
        assert declined.body["waitlist"]["last_offer"] == "declined"
        assert (await answer(app, offer, "decline")).status == 200, "said twice"
        late = await answer(app, offer, "accept")
        assert (late.status, late.problem) == (409, "offer-ended")
        assert late.body["booking_status"] == "waitlisted"

        taken = (await until(app, refs[1], stage="offered"))["waitlist"]["offer"]
        accepted = await answer(app, taken, "accept")
        assert (accepted.status, accepted.body["status"]) == (200, "confirmed")
        assert accepted.body["start_at"] == told["start_at"]
        assert (await answer(app, taken, "accept")).body["status"] == "confirmed"
        assert (await answer(app, taken, "decline")).problem == "offer-accepted"
        assert (await leave(app, refs[1])).problem == "not-waiting"
        assert (await leave(app, refs[0])).status == 202
        assert (await stream.until(status="cancelled"))["by"] == "patient"
        assert await stream.next() is None
    events = [each["event"] for each in (await app.get(f"/v1/appointments/{refs[1]}/history")).body["events"]]
    waited = ["waitlist.joined", "waitlist.offered", "waitlist.accepted"]
    assert events == ["booking.accepted", *waited, "booking.confirmed"]


async def test_an_offer_that_has_run_out_is_gone_whether_sweep_has_come_or_not(app: Caller, stage: Stage) -> None:
    wanted = wish(start_at=tomorrow(2))
    booked = (await join(app, wanted)).body["booking_ref"]
    first, second = [(await join(app, wanted)).body["booking_ref"] for _ in range(2)]
    await app.cancel(booked, str(uuid4()))
    offer = (await until(app, first, stage="offered"))["waitlist"]["offer"]
    async with stage.database.owner() as owner:
        await owner.execute(RUN_OUT, offer["offer_id"])
    late = await answer(app, offer, "accept")
    assert (late.status, late.problem) == (410, "offer-expired")
    assert "next" in late.body["next_step"]
    offer = (await until(app, second, stage="offered"))["waitlist"]["offer"]
    async with stage.database.owner() as owner:
        await owner.execute(RUN_OUT, offer["offer_id"])
    assert (await until(app, second, stage="waiting"))["waitlist"]["last_offer"] == "expired", "sweep came"


async def test_of_many_answers_at_once_one_counts(app: Caller) -> None:
    wanted = wish("0002-1", start_at=tomorrow(3))
    booked = (await join(app, wanted)).body["booking_ref"]
    ref = (await join(app, wanted)).body["booking_ref"]
    await app.cancel(booked, str(uuid4()))
    offer = (await until(app, ref, stage="offered"))["waitlist"]["offer"]
    said = await asyncio.gather(*(answer(app, offer, how) for how in ("accept", "decline") * 5))
    accepts, declines = {each.status for each in said[::2]}, {each.status for each in said[1::2]}
    status = (await app.get(f"/v1/appointments/{ref}")).body["status"]
    assert (accepts, declines) == (({200}, {409}) if status == "confirmed" else ({409}, {200}))


async def test_a_clinic_with_a_system_is_asked_at_once(app: Caller, stage: Stage) -> None:
    wanted = wish(THEIRS.provider_id, start_at=tomorrow(4))
    booked = (await app.book(str(uuid4()), wanted)).body["booking_ref"]
    ref = (await join(app, wanted)).body["booking_ref"]
    await app.cancel(booked, str(uuid4()))
    offer = (await until(app, ref, stage="offered"))["waitlist"]["offer"]
    accepted = (await answer(app, offer, "accept")).body
    assert (accepted["status"], accepted["stage"]) == ("pending", "held")
    assert (await until(app, ref, stage="held"))["place"] == 1
    async with asyncio.timeout(60):
        while (ref, 2) not in await rung_for(stage):
            pass


async def rung_for(stage: Stage) -> set[tuple[str, int]]:
    rung = [_doorbell(each.value) for each in await everything_in(stage.kafka, CLINIC_CONFIRMATIONS_PRIORITY)]
    return {(each.booking_ref, each.revision) for each in rung}


async def test_nobody_answers_for_another_and_nobody_invents_an_offer(app: Caller, stage: Stage) -> None:
    wanted = wish("0002-1", start_at=tomorrow(5))
    booked = (await join(app, wanted)).body["booking_ref"]
    ref = (await join(app, wanted)).body["booking_ref"]
    await app.cancel(booked, str(uuid4()))
    offer = (await until(app, ref, stage="offered"))["waitlist"]["offer"]
    async with Newcomer(stage.kafka, app.base, OwnerKind.APP, "another") as other:
        assert (await answer(other, offer, "accept")).problem == "unknown-offer"
    for invented in (f"{ref}.3", f"{ref}.x", ref, "x.2", f"{ref}.99999999999999999999"):
        assert (await app.call("POST", f"/v1/offers/{invented}/accept")).problem == "unknown-offer"
    assert (await answer(app, offer, "accept")).status == 200
