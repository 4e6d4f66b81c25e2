"""What became of an appointment, told by the clinic: once, lawfully, and the dose goes where the patient went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from tests.stack import Kafka
from tests.support.commands import appended, book
from tests.support.database import Database
from tests.support.holding import DEADLINES, rows_of
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged
from tests.support.patients import WHOM
from tests.support.stocked import consuming, counted, lot, lots_of
from tests.support.world import ClinicSpec, clinics, settings_for, tomorrow
from waiting_room.access import OwnerKind
from waiting_room.domain.appointment import By, EventType, Reason
from waiting_room.store.journal import Journal
from waiting_room.store.pool import create_pool
from waiting_room.store.stock import LotReport
from workers.hold.batch import Batch
from workers.sweep.seen import Seen

SPECS = clinics(8, capacity=20)
_number = count()


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
        async with stage.database.owner() as owner:
            await consuming(owner)
            for spec in SPECS:
                await counted(owner, spec, lot("a", 5), lot("b", 5))
        yield stage


@pytest.fixture(scope="module")
async def base(stage: Stage) -> AsyncIterator[str]:
    async with ingress(stage.kafka, stage.database) as base:
        yield base


@pytest.fixture(scope="module")
async def desk(stage: Stage, base: str) -> AsyncIterator[Caller]:
    async with Newcomer(stage.kafka, base, OwnerKind.OPERATOR, "ops") as caller:
        yield caller


async def being_moved(stage: Stage, spec: ClinicSpec, clinic_state: str) -> str:
    """A confirmed booking that began ten minutes ago, whose patient wished for another time before; its ref."""
    ref = await confirmed(stage, spec)
    async with stage.database.owner() as owner, owner.transaction():
        await owner.execute(
            "INSERT INTO reschedules (clinic_id, booking_ref, revision, key_hash, provider_id, seat, start_at, end_at, "
            """requested_at, move_until, "by") """
            "SELECT clinic_id, booking_ref, 2, sha256('x'), provider_id, 19, $2, $3, now(), $2, 'patient' "
            "FROM appointments WHERE booking_ref = $1",
            ref,
            tomorrow(15),
            tomorrow(15, 30),
        )
        await owner.execute(
            "UPDATE appointments SET moving_to = 2, clinic_state = $2 WHERE booking_ref = $1", ref, clinic_state
        )
    return ref


async def confirmed(stage: Stage, spec: ClinicSpec, *, today: bool = True) -> str:
    """A confirmed booking; its ref. ``today``: it began ten minutes ago."""
    command = book(spec, f"key {next(_number)}", start_at=tomorrow(9))
    async with stage.database.owner() as owner, owner.transaction():
        await Batch(owner, {}, DEADLINES, WHOM).work(appended(command))
        if today:
            await owner.execute(
                "UPDATE appointments SET start_at = now() - interval '10 minutes', end_at = now() "
                "WHERE booking_ref = $1",
                command.booking_ref,
            )
    return command.booking_ref


async def say(desk: Caller, ref: str, what: str, body: Any = None, **headers: str) -> Answer:
    more = {} if body is None else {"json": body}
    return await desk.call("POST", f"/v1/appointments/{ref}/{what}", headers=headers, **more)


async def claims(stage: Stage, ref: str) -> tuple[int, int]:
    """(seats, doses) claimed by the booking."""
    [row] = await rows_of(
        stage.database,
        f"SELECT (SELECT count(*) FROM seat_claims WHERE booking_ref = '{ref}') AS seats, "
        f"(SELECT count(*) FROM dose_claims WHERE booking_ref = '{ref}') AS doses",
    )
    return row["seats"], row["doses"]


async def events(stage: Stage, ref: str) -> list[str]:
    rows = await rows_of(
        stage.database, f"SELECT event FROM appointment_events WHERE booking_ref = '{ref}' ORDER BY seq"
    )
    return [row["event"].removeprefix("booking.") for row in rows][3:]


async def test_a_patient_comes_and_is_given_what_was_reserved(stage: Stage, desk: Caller) -> None:
    ref = await confirmed(stage, SPECS[0])
    told = await say(desk, ref, "arrival")
    assert (told.status, told.body["status"]) == (200, "arrived")
    assert await claims(stage, ref) == (1, 1)
    for _ in range(2):  # told twice is told once
        told = await say(desk, ref, "completion")
        assert (told.status, told.body["status"], told.headers["ETag"]) == (200, "completed", '"5"')
    assert await events(stage, ref) == ["arrived", "completed"]
    assert await claims(stage, ref) == (1, 0)
    found = [each for each in (await _lots(stage, SPECS[0])) if each.lot == "a"]
    assert [(each.on_hand, each.reserved, each.administered) for each in found] == [(4, 0, 1)]


async def _lots(stage: Stage, spec: ClinicSpec) -> list[LotReport]:
    return [each for each in await lots_of(stage.database) if each.clinic_id == spec.clinic_id]


async def figures(stage: Stage, spec: ClinicSpec) -> dict[str, tuple[int, int, int]]:
    """(on hand, reserved, administered) of each lot."""
    return {each.lot: (each.on_hand, each.reserved, each.administered) for each in await _lots(stage, spec)}


async def taken_for_seen(stage: Stage, spec: ClinicSpec) -> str:
    """A booking that sweep has completed, since nobody had said what became of it; its ref."""
    ref = await ended(stage, spec)
    await swept(stage)
    return ref


async def ended(stage: Stage, spec: ClinicSpec) -> str:
    """A confirmed booking that ended 13 hours ago."""
    ref = await confirmed(stage, spec)
    async with stage.database.owner() as owner:
        await owner.execute(
            "UPDATE appointments SET start_at = start_at - interval '13 hours', end_at = end_at - interval '13 hours' "
            "WHERE booking_ref = $1",
            ref,
        )
    return ref


async def swept(stage: Stage) -> None:
    pool = await create_pool(settings_for(stage.database, None, "sweep"), "sweep")
    try:
        await Seen(pool, 12).look()
    finally:
        await pool.close()


async def test_another_lot_was_given(stage: Stage, desk: Caller) -> None:
    ref = await confirmed(stage, SPECS[1])
    none = await say(desk, ref, "completion", {"administered": [{"product": "flu", "lot": "x"}]})
    assert (none.status, none.problem) == (409, "not-in-stock")
    none = await say(desk, ref, "completion", {"administered": [{"product": "water", "lot": "x"}]})
    assert (none.status, none.problem) == (404, "unknown-product")
    assert await claims(stage, ref) == (1, 1)
    told = await say(desk, ref, "completion", {"administered": [{"product": "flu", "lot": "b"}]})
    assert told.body["status"] == "completed"
    assert await figures(stage, SPECS[1]) == {"a": (5, 0, 0), "b": (4, 0, 1)}


def gave(lot: str) -> dict[str, Any]:
    return {"administered": [{"product": "flu", "lot": lot}]}


async def test_who_was_taken_for_seen_was_given_what_is_said_later(stage: Stage, desk: Caller) -> None:
    """It was answered 200, and nothing of that lot was administered."""
    ref = await taken_for_seen(stage, SPECS[6])
    assert await figures(stage, SPECS[6]) == {"a": (4, 0, 1), "b": (5, 0, 0)}
    stale = await say(desk, ref, "completion", gave("b"), **{"If-Match": '"3"'})
    assert (stale.status, stale.problem) == (412, "changed-meanwhile")
    for _ in range(2):  # told twice is told once
        told = await say(desk, ref, "completion", gave("b"))
        assert (told.status, told.body["status"], told.headers["ETag"]) == (200, "completed", '"4"')
        assert await figures(stage, SPECS[6]) == {"a": (5, 0, 0), "b": (4, 0, 1)}
    shelf = await desk.get(f"/v1/clinics/{SPECS[6].clinic_id}/stock/flu")
    assert shelf.headers["ETag"] == '"2"'
    none = await say(desk, ref, "completion", gave("x"))
    assert (none.status, none.problem) == (409, "not-in-stock")
    assert (await say(desk, ref, "completion")).status == 200
    assert await figures(stage, SPECS[6]) == {"a": (5, 0, 0), "b": (4, 0, 1)}
    assert await events(stage, ref) == ["completed"]


async def test_what_was_counted_in_between_is_right_whatever_was_given(stage: Stage, desk: Caller) -> None:
    spec = SPECS[7]
    before, after = await ended(stage, spec), await ended(stage, spec)
    async with stage.database.owner() as owner:
        going_on = "UPDATE appointments SET end_at = now() + interval '1 hour' WHERE booking_ref = $1"
        await owner.execute(going_on, after)  # what is kept for it is counted, too
        await counted(owner, spec, lot("a", 5), lot("b", 4))
        await owner.execute("UPDATE appointments SET end_at = start_at WHERE booking_ref = $1", after)
    assert await figures(stage, spec) == {"a": (5, 1, 0), "b": (4, 0, 0)}
    await swept(stage)
    assert await figures(stage, spec) == {"a": (4, 0, 1), "b": (4, 0, 0)}
    assert (await say(desk, before, "completion", gave("b"))).status == 200
    assert await figures(stage, spec) == {"a": (4, 0, 1), "b": (4, 0, 1)}
    async with stage.database.owner() as owner:
        await counted(owner, spec, lot("a", 4), lot("b", 0))
    assert (await say(desk, after, "completion", gave("b"))).status == 200
    assert await figures(stage, spec) == {"a": (4, 0, 0), "b": (0, 0, 2)}


async def test_who_does_not_come_frees_seat_and_dose(stage: Stage, desk: Caller) -> None:
    ref = await confirmed(stage, SPECS[2])
    told = await say(desk, ref, "no-show")
    assert (told.body["status"], told.body["by"]) == ("no_show", "clinic")
    assert await claims(stage, ref) == (0, 0)
    assert [each.reserved for each in await _lots(stage, SPECS[2])] == [0, 0]
    late = await say(desk, ref, "arrival")
    assert (late.status, late.problem) == (409, "wrong-status")


async def test_what_cannot_have_happened_is_refused(stage: Stage, desk: Caller) -> None:
    ahead = await confirmed(stage, SPECS[3], today=False)
    async with stage.database.owner() as owner:
        await owner.execute(
            "UPDATE appointments SET start_at = now() + interval '2 days' WHERE booking_ref = $1", ahead
        )
    for what in ("arrival", "completion", "no-show"):
        early = await say(desk, ahead, what)
        assert (early.status, early.problem) == (409, "wrong-status")
        assert early.body["next_step"].startswith("Say it from ")
    async with stage.database.owner() as owner, owner.transaction():
        journal = await Journal.open(owner, [SPECS[3].clinic_id])
        found = await journal.load([(SPECS[3].clinic_id, ahead)])
        journal.record(found[SPECS[3].clinic_id, ahead], EventType.CANCELLED, by=By.CLINIC, reason=Reason.PROVIDER)
        await journal.write()
    assert (await say(desk, ahead, "arrival")).body["detail"] == "The booking is cancelled."
    ref = await confirmed(stage, SPECS[3])
    stale = await say(desk, ref, "arrival", **{"If-Match": '"1"'})
    assert (stale.status, stale.problem) == (412, "changed-meanwhile")
    assert (await say(desk, ref, "arrival", **{"If-Match": '"3"'})).status == 200
    nobody = f"0001{ref[4:]}"
    assert (await say(desk, nobody, "arrival")).status == 404


async def test_a_clinic_speaks_of_its_own_patients_and_an_app_of_none(stage: Stage, base: str) -> None:
    ref = await confirmed(stage, SPECS[4])
    async with (
        Caller(base, stage.token) as app,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, SPECS[5].clinic_id) as other,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, SPECS[4].clinic_id) as own,
    ):
        assert (await say(app, ref, "arrival")).status == 403
        assert (await say(other, ref, "arrival")).status == 404
        assert (await say(own, ref, "arrival")).status == 200


async def test_who_is_there_is_not_moved(stage: Stage, desk: Caller) -> None:
    ref = await being_moved(stage, SPECS[5], "booked")
    told = await say(desk, ref, "arrival")
    assert (told.status, told.body["status"]) == (200, "arrived")
    assert (told.body["reschedule"]["status"], told.body["reschedule"]["reason"]) == ("failed", "not_active")
    assert await events(stage, ref) == ["reschedule_failed", "arrived"]
    asked = await being_moved(stage, SPECS[5], "calling")
    told = await say(desk, asked, "arrival")
    assert (told.status, told.problem) == (409, "wrong-status")
    assert tomorrow(15).isoformat() in told.body["detail"]
    assert "again in a minute" in told.body["next_step"]


async def test_a_product_was_given_once(stage: Stage, desk: Caller) -> None:
    ref = await confirmed(stage, SPECS[4])
    both = [{"product": "flu", "lot": "a"}, {"product": "flu", "lot": "b"}]
    told = await say(desk, ref, "completion", {"administered": both})
    assert (told.status, told.body["errors"][0]["pointer"]) == (422, "/administered/1/product")
