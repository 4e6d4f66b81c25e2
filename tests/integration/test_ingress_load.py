"""More than can be worked off is refused at once, and whoever is refused is told where and when to try instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.stack import Kafka
from tests.support.commands import APP, REFS
from tests.support.database import Database
from tests.support.ingress import Caller, Stage, ingress, ingress_process, staged, wish
from tests.support.log import append, everything_in
from tests.support.world import clinics, tomorrow
from waiting_room.messages import ClinicPulse, Pulse, encode
from waiting_room.topics import BOOKING_REQUESTS, CLINIC_PULSE

SPECS = clinics(5, endpoint="http://127.0.0.1:9")
LONG, SHORT, LONGER, FREE = ("0001", "0002", "0003", "0004")


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
        lines = {LONG: 2_000, SHORT: 40, LONGER: 3_000, FREE: 0}
        pulse = Pulse(
            worker_id="confirm",
            at=tomorrow(0),  # it must not grow old before it is asked for
            clinics={
                clinic_id: ClinicPulse(seq=1, line=line, limit=2, call_seconds=2.0, call_sigma_seconds=0.5)
                for clinic_id, line in lines.items()
            },
            held_offsets=dict.fromkeys(range(4), 0),
        )
        await append(kafka, CLINIC_PULSE, 0, pulse.worker_id, encode(pulse))
        yield stage


async def test_a_line_past_its_clinics_ceiling(stage: Stage) -> None:
    """2,000 bookings, two calls of 2 s at a time: 2,000 s, where 1,800 are allowed."""
    async with ingress(stage.kafka, stage.database) as base, Caller(base, stage.token) as app:
        refused = await app.book(str(uuid4()), wish(f"{LONG}-1"))
        assert (refused.status, refused.body["type"]) == (429, "/problems/line-too-long")
        assert 300 < int(refused.headers["Retry-After"]) < 500, "2,000 s, where newcomers may wait for 1,620"
        assert refused.body["outcome"] == "none"
        others = refused.body["other_clinics"]
        assert [each["clinic_id"] for each in others] == [FREE, "0005", SHORT]
        assert "another clinic" in refused.body["next_step"]
        assert (await app.get(others[0]["link"])).body["next_place"] == others[0]["place"]
        taken = await app.book(str(uuid4()), wish(f"{SHORT}-1"))
        assert taken.status == 202
        assert taken.body["place"] == 41
        assert taken.body["eta"]["p50"] == pytest.approx(41.0, abs=2)


async def test_too_much_appended_and_not_held(stage: Stage) -> None:
    async with ingress(stage.kafka, stage.database, unheld_max=20) as base, Caller(base, stage.token) as app:
        while (answer := await app.book(str(uuid4()), wish(f"{FREE}-1"))).status == 202:
            pass
        assert (answer.status, answer.body["type"]) == (429, "/problems/backlog")
        assert int(answer.headers["Retry-After"]) >= 1


async def test_more_requests_at_once_than_may_wait_for_kafka(stage: Stage) -> None:
    keys = [str(uuid4()) for _ in range(60)]
    async with (
        ingress_process(stage.kafka, stage.database, ingress_in_flight_max=3) as (base, process),
        Caller(base, stage.token) as app,
    ):
        process.freeze()
        asking = [asyncio.create_task(app.book(key, wish("0005-1", start_at=tomorrow(3)))) for key in keys]
        await asyncio.wait(asking, timeout=0.5)  # all of them are there when it looks: no Kafka is quick enough then
        process.thaw()
        answers = await asyncio.gather(*asking)
    told = {key: answer for key, answer in zip(keys, answers, strict=True) if answer.status != 202}
    assert told
    assert len(told) < len(keys)
    assert {(each.status, each.body["type"], each.body["outcome"]) for each in told.values()} == {
        (503, "/problems/busy", "none")
    }
    log = b"".join(record.value or b"" for record in await everything_in(stage.kafka, BOOKING_REQUESTS))
    assert not [key for key in told if REFS.derive("0005", APP, key).encode() in log]
    assert all(REFS.derive("0005", APP, key).encode() in log for key in keys if key not in told)
