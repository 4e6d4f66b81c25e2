"""If-Match: who saw the booking as it was some time ago changes nothing, whether ingress sees it or only hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.stack import Kafka
from tests.support.commands import APP, appended, book, cancel, reschedule
from tests.support.database import Database
from tests.support.holding import DEADLINES, Hold, rows_of, seeded
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged
from tests.support.log import everything_in
from tests.support.patients import WHOM
from tests.support.world import clinics, tomorrow
from waiting_room.access import OwnerKind
from waiting_room.messages import Cancel, Command, Reader, Reschedule
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold.batch import Batch

SPECS = clinics(1, capacity=10)
_read: Reader[Command] = Reader(Command)
MOVE = {"start_at": tomorrow(10).isoformat()}


async def test_hold_leaves_alone_what_was_changed_since(database: Database, hold: Hold) -> None:
    await seeded(database, SPECS)
    booking = book(SPECS[0], "seen")
    await hold(appended(booking))
    (row,) = await rows_of(database, "SELECT row_version FROM appointments")
    seen = row["row_version"]
    moved, late_move = (reschedule(booking, key, if_version=seen) for key in ("first", "second"))
    late_cancel = cancel(booking, if_version=seen)
    for _ in range(2):  # redelivered, it is refused once
        await hold(appended(moved, late_move, late_cancel, first_offset=1))
    (row,) = await rows_of(database, "SELECT status, start_at, row_version FROM appointments")
    assert (row["status"], row["start_at"]) == ("confirmed", tomorrow(10))
    (wish,) = await rows_of(database, "SELECT reason FROM reschedules WHERE outcome = 'refused'")
    assert wish["reason"] == "changed_meanwhile"
    events = await rows_of(database, "SELECT event FROM appointment_events ORDER BY seq")
    refused = [each["event"] for each in events if each["event"].endswith("refused")]
    assert refused == ["booking.reschedule_refused", "booking.cancel_refused"]
    await hold(appended(cancel(booking, if_version=row["row_version"]), first_offset=4))
    (row,) = await rows_of(database, "SELECT status FROM appointments")
    assert row["status"] == "cancelled"


@pytest.fixture
async def stage(fresh_kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(fresh_kafka, template, SPECS) as stage:
        yield stage


async def test_ingress_says_so_at_once_and_hold_is_told_the_version(stage: Stage) -> None:
    booking = book(SPECS[0], str(uuid4()))
    async with stage.database.owner() as owner, owner.transaction():
        await Batch(owner, {}, DEADLINES, WHOM).work(appended(booking))
    ref = booking.booking_ref
    async with (
        ingress(stage.kafka, stage.database) as base,
        Newcomer(stage.kafka, base, OwnerKind.APP, APP) as app,
    ):
        etag = (await app.get(f"/v1/appointments/{ref}")).headers["ETag"]
        for tag, status, problem in (('"1"', 412, "changed-meanwhile"), ("yesterday", 400, "bad-header")):
            for answer in (await _cancel(app, ref, tag), await _move(app, ref, tag)):
                assert (answer.status, answer.problem) == (status, problem)
        assert (await _move(app, ref, f'"1", {etag}')).status == 202
        assert (await _cancel(app, ref, etag)).status == 202
        assert (await _cancel(app, ref, "*")).status == 202
    commands = [_read(record.value) for record in await everything_in(stage.kafka, BOOKING_REQUESTS)]
    told = [each.if_version for each in commands if isinstance(each, Cancel | Reschedule)]
    version = int(etag.strip('"'))
    assert told == [version, version, None]


async def _cancel(app: Caller, ref: str, tag: str) -> Answer:
    headers = {"Idempotency-Key": str(uuid4()), "If-Match": tag}
    return await app.call("DELETE", f"/v1/appointments/{ref}", headers=headers)


async def _move(app: Caller, ref: str, tag: str) -> Answer:
    headers = {"Idempotency-Key": str(uuid4()), "If-Match": tag}
    return await app.call("PATCH", f"/v1/appointments/{ref}/reschedule", headers=headers, json=MOVE)
