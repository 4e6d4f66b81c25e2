"""What those are offered who did not get what they asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any

import pytest

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Caller, Stage, ingress, staged
from tests.support.world import clinics, settings_for, tomorrow
from tests.support.written import CALLING, CONFIRMED, HELD, plant
from waiting_room.domain.appointment import EventType, Reason
from waiting_room.kafka import Producer
from waiting_room.messages import ClinicPulse, Pulse, encode
from waiting_room.topics import CLINIC_PULSE

SPECS = clinics(4)


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
        yield stage


@pytest.fixture(scope="module")
async def app(stage: Stage) -> AsyncIterator[Caller]:
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as caller:
        yield caller


async def rejected(stage: Stage, number: int, reason: Reason, before: Iterable[EventType] = HELD) -> str:
    async with stage.database.owner() as owner:
        booking = await plant(owner, SPECS[0], number, (*before, EventType.REJECTED), reason=reason)
    return booking.booking_ref


async def offered(app: Caller, ref: str) -> list[dict[str, Any]]:
    read = await app.get(f"/v1/appointments/{ref}")
    assert (read.status, read.body["status"]) == (200, "rejected")
    alternatives: list[dict[str, Any]] = read.body.get("alternatives", [])
    return alternatives


async def test_who_lost_a_race_is_offered_other_times_at_the_same_clinic(app: Caller, stage: Stage) -> None:
    async with stage.database.owner() as owner:
        taken = await plant(owner, SPECS[0], 5, CONFIRMED)
    alternatives = await offered(app, await rejected(stage, 4, Reason.SLOT_TAKEN))
    assert {each["clinic_id"] for each in alternatives} == {SPECS[0].clinic_id}
    starts = [datetime.fromisoformat(each["start_at"]) for each in alternatives]
    assert len(starts) == 3
    assert taken.start_at not in starts
    assert (await offered(app, await rejected(stage, 3, Reason.CLINIC_REFUSED, CALLING))) != []


async def test_who_waited_for_a_clinic_that_is_away_is_offered_others_that_are_not(app: Caller, stage: Stage) -> None:
    pulse = ClinicPulse(seq=1, line=7, limit=1, in_flight=0, call_seconds=2.0, breaker_open=True)
    record = Pulse(worker_id="confirm", at=tomorrow(0), clinics={SPECS[1].clinic_id: pulse})
    producer = Producer(settings_for(None, stage.kafka, "confirm"))
    await producer.start()
    try:
        await producer.send(CLINIC_PULSE, 0, key=b"confirm", value=encode(record))
    finally:
        await producer.stop()
    while (await app.get(f"/v1/clinics/{SPECS[1].clinic_id}")).body["next_place"] != 8:
        await asyncio.sleep(0.05)
    alternatives = await offered(app, await rejected(stage, 6, Reason.CLINIC_UNAVAILABLE))
    assert alternatives
    assert {each["clinic_id"] for each in alternatives} <= {SPECS[2].clinic_id, SPECS[3].clinic_id}


async def test_who_asked_for_what_cannot_be_booked_is_offered_nothing(app: Caller, stage: Stage) -> None:
    assert await offered(app, await rejected(stage, 7, Reason.NOT_BOOKABLE)) == []
