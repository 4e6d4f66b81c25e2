"""How much one caller may send, who may cancel until when, and what they are told at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.stack import Kafka
from tests.support.commands import APP, appended, book
from tests.support.database import Database
from tests.support.holding import DEADLINES
from tests.support.ingress import Caller, Newcomer, Stage, ingress, staged, wish
from tests.support.log import everything_in
from tests.support.patients import WHOM
from tests.support.world import clinics, tomorrow
from waiting_room.access import OwnerKind
from waiting_room.domain.appointment import By, Reason
from waiting_room.messages import Cancel, Command, Reader
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold.batch import Batch

SPECS = clinics(2, capacity=10)
_read: Reader[Command] = Reader(Command)


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
        yield stage


@pytest.fixture(scope="module")
async def base(stage: Stage) -> AsyncIterator[str]:
    async with ingress(stage.kafka, stage.database, rate_patient_per_minute=2, rate_app_per_second=1) as base:
        yield base


async def held(stage: Stage, **changes: datetime) -> str:
    """A confirmed booking; its ref. ``changes`` are of its row."""
    command = book(SPECS[0], str(uuid4()), start_at=tomorrow(9))
    async with stage.database.owner() as owner, owner.transaction():
        await Batch(owner, {}, DEADLINES, WHOM).work(appended(command))
        for column, at in changes.items():
            await owner.execute(
                f"UPDATE appointments SET {column} = $1 WHERE booking_ref = $2", at, command.booking_ref
            )
    return command.booking_ref


async def test_a_patient_who_sends_too_much_is_told_when_to_come_back(stage: Stage, base: str) -> None:
    async with Caller(base, stage.token) as app:
        told = [await app.book(str(uuid4()), wish(patient={"id": "busy"})) for _ in range(3)]
        assert [each.status for each in told] == [202, 202, 429]
        assert told[0].headers["RateLimit-Policy"] == '"app";q=10;w=10, "patient";q=2;w=60'
        assert '"patient";r=1;' in told[0].headers["RateLimit"]
        assert '"patient";r=0;' in told[2].headers["RateLimit"]
        assert 1 <= int(told[2].headers["Retry-After"]) <= 30
        assert (told[2].problem, told[2].body["outcome"]) == ("rate-limited", "none")
        assert (await app.book(str(uuid4()), wish(patient={"id": "calm"}))).status == 202


async def test_a_clinic_cancels_a_booking_of_its_own(stage: Stage, base: str) -> None:
    ref = await held(stage)
    async with (
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, SPECS[0].clinic_id) as own,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, SPECS[1].clinic_id) as other,
    ):
        assert (await other.cancel(ref, str(uuid4()))).status == 404
        assert (await own.cancel(ref, str(uuid4()))).status == 202
        gone = await held(stage)
        async with stage.database.owner() as owner:
            await owner.execute("UPDATE appointments SET status = 'completed' WHERE booking_ref = $1", gone)
        late = await own.cancel(gone, str(uuid4()))
        assert (late.status, late.problem) == (409, "wrong-status")
    commands = [_read(record.value) for record in await everything_in(stage.kafka, BOOKING_REQUESTS)]
    [cancel] = [each for each in commands if isinstance(each, Cancel) and each.booking_ref in (ref, gone)]
    assert (cancel.booking_ref, cancel.by, cancel.reason, cancel.app_id) == (ref, By.CLINIC, Reason.PROVIDER, APP)


async def test_a_patient_who_cancels_too_late_is_told_at_once(stage: Stage, base: str) -> None:
    now = datetime.now(UTC)
    ref = await held(stage, start_at=now + timedelta(hours=3), accepted_at=now - timedelta(days=5))
    async with (
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, SPECS[0].clinic_id) as clinic,
        Newcomer(stage.kafka, base, OwnerKind.APP, APP) as app,
    ):
        late = await app.cancel(ref, str(uuid4()))
        assert (late.status, late.problem) == (409, "notice-passed")
        assert late.body["detail"] == "It can be cancelled up to 24 hours before it starts."
        assert (await clinic.cancel(ref, str(uuid4()))).status == 202
