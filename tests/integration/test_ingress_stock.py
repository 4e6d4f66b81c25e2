"""A clinic's stock over HTTP: counted and entered with its own key, by version, and who goes short is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.stack import Kafka
from tests.support.cli import waiting_room
from tests.support.commands import appended, book
from tests.support.database import Database
from tests.support.holding import DEADLINES
from tests.support.ingress import Answer, Caller, Newcomer, Stage, ingress, staged
from tests.support.patients import WHOM
from tests.support.stocked import LATER, consuming
from tests.support.world import SERVICE, ClinicSpec, clinics, tomorrow
from waiting_room.access import OwnerKind, Scope
from waiting_room.domain.stocktake import MOST
from workers.hold.batch import Batch

SPECS = clinics(6)
EXPIRES = LATER.isoformat()
A_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
        async with stage.database.owner() as owner:
            await consuming(owner)
        yield stage


@pytest.fixture(scope="module")
async def base(stage: Stage) -> AsyncIterator[str]:
    async with ingress(stage.kafka, stage.database) as base:
        yield base


@pytest.fixture(scope="module")
async def operator(stage: Stage, base: str) -> AsyncIterator[Caller]:
    async with Newcomer(stage.kafka, base, OwnerKind.OPERATOR, "ops") as caller:
        yield caller


def shelf(spec: ClinicSpec) -> str:
    return f"/v1/clinics/{spec.clinic_id}/stock/flu"


def lots(*named: tuple[str, int], **more: Any) -> dict[str, Any]:
    return {"lots": [{"lot": name, "expires_on": EXPIRES, "on_hand": count, **more} for name, count in named]}


async def put(caller: Caller, spec: ClinicSpec, version: int, body: dict[str, Any]) -> Answer:
    return await caller.call("PUT", shelf(spec), json=body, headers={"If-Match": f'"{version}"'})


async def enter(caller: Caller, spec: ClinicSpec, version: int, kind: str, lot: str, doses: int, **more: Any) -> Answer:
    return await caller.call(
        "POST",
        f"{shelf(spec)}/movements",
        json={"kind": kind, "lot": lot, "doses": doses, **more},
        headers={"If-Match": f'"{version}"'},
    )


async def hold(stage: Stage, spec: ClinicSpec, *hours: int) -> list[str]:
    """Bookings at these hours of tomorrow; their refs."""
    commands = [book(spec, f"{spec.clinic_id} at {hour}", start_at=tomorrow(hour)) for hour in hours]
    async with stage.database.owner() as owner, owner.transaction():
        await Batch(owner, {}, DEADLINES, WHOM).work(appended(*commands))
    return [command.booking_ref for command in commands]


async def test_what_was_counted_is_what_may_be_booked(stage: Stage, operator: Caller) -> None:
    spec = SPECS[0]
    empty = await operator.get(shelf(spec))
    assert (empty.status, empty.headers["ETag"], empty.body["lots"]) == (200, '"0"', [])
    told = await put(operator, spec, 0, lots(("a", 2)))
    assert (told.status, told.headers["ETag"]) == (200, '"1"')
    refs = await hold(stage, spec, 9, 10, 11)
    [lot] = (await operator.get(shelf(spec))).body["lots"]
    assert (lot["on_hand"], lot["reserved"], lot["free"], lot["balanced"]) == (2, 2, 0, True)

    told = await put(operator, spec, 1, lots(("a", 1), ("b", 0)))
    assert [each["booking_ref"] for each in told.body["short"]] == [refs[1]]
    told = await put(operator, spec, 2, lots(("a", 1), ("b", 4)))
    assert told.body["short"] == []
    assert [(each["lot"], each["reserved"], each["recounted"]) for each in told.body["lots"]] == [
        ("a", 1, -1),
        ("b", 1, 4),
    ]


async def test_who_has_read_an_old_version_changes_nothing(operator: Caller) -> None:
    spec = SPECS[1]
    assert (await put(operator, spec, 0, lots(("a", 2)))).status == 200
    late = await put(operator, spec, 0, lots(("a", 9)))
    assert (late.status, late.problem) == (412, "changed-meanwhile")
    blind = await operator.call("PUT", shelf(spec), json=lots(("a", 9)))
    assert (blind.status, blind.problem) == (428, "if-match-missing")
    odd = await operator.call("PUT", shelf(spec), json=lots(("a", 9)), headers={"If-Match": "W/1"})
    assert (odd.status, odd.problem) == (400, "bad-header")
    assert [each["on_hand"] for each in (await operator.get(shelf(spec))).body["lots"]] == [2]


async def test_what_comes_in_breaks_is_kept_or_given(operator: Caller) -> None:
    spec = SPECS[2]
    assert (await enter(operator, spec, 0, "received", "a", 10, expires_on=EXPIRES)).status == 200
    assert (await enter(operator, spec, 1, "wasted", "a", 2)).status == 200
    assert (await enter(operator, spec, 2, "transferred", "a", 3, to_pool="second")).status == 200
    told = await enter(operator, spec, 3, "administered", "a", 1)
    assert told.headers["ETag"] == '"4"'
    assert [
        (each["pool"], each["on_hand"], each["wasted"], each["administered"], each["received"], each["transferred"])
        for each in told.body["lots"]
    ] == [("general", 4, 2, 1, 10, -3), ("second", 3, 0, 0, 0, 3)]
    for kind, lot, doses, more, problem in (
        ("wasted", "a", 5, {}, "not-in-stock"),
        ("wasted", "none", 1, {}, "not-in-stock"),
        ("received", "a", 1, {"expires_on": "2020-01-01"}, "not-in-stock"),
        ("received", "a", 1, {}, "missing-field"),
        ("transferred", "a", 1, {}, "missing-field"),
        ("stolen", "a", 1, {}, "wrong-value"),
    ):
        assert (await enter(operator, spec, 4, kind, lot, doses, **more)).problem == problem
    unstorable = await put(operator, spec, 4, lots(("a", 1), pool="\0"))
    assert (unstorable.status, unstorable.body["errors"][0]["pointer"]) == (422, "/lots/0/pool")
    nowhere = f"/v1/clinics/{spec.clinic_id}/stock/%00"
    none = await operator.call("PUT", nowhere, json={"lots": []}, headers={"If-Match": "*"})
    assert (none.status, none.problem) == (404, "unknown-product")
    twice = await put(operator, spec, 4, lots(("a", 1), ("a", 2)))
    assert (twice.status, twice.problem) == (422, "wrong-value")


async def test_only_the_clinic_itself_and_only_with_the_scope(stage: Stage, base: str) -> None:
    async with (
        Caller(base, stage.token) as app,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0004") as own,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0004", Scope.CLINIC_READ) as reader,
        Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0003") as other,
    ):
        spec = SPECS[3]
        assert (await put(own, spec, 0, lots(("a", 2)))).status == 200
        assert (await reader.get(shelf(spec))).status == 200
        for caller in (app, other, reader):
            assert (await put(caller, spec, 1, lots(("a", 9)))).status == 403
        assert (await app.get(shelf(spec))).status == (await other.get(shelf(spec))).status == 403
        none = await own.get("/v1/clinics/0004/stock/water")
        assert (none.status, none.problem) == (404, "unknown-product")
        report = (await own.get("/v1/clinics/0004/stock")).body
        assert [(each["product"], len(each["lots"])) for each in report["products"]] == [("flu", 1)]


async def test_the_command_reports_every_clinic_and_says_when_it_does_not_balance(
    stage: Stage, operator: Caller
) -> None:
    version = (await operator.get(shelf(SPECS[3]))).headers["ETag"].strip('"')
    await put(operator, SPECS[3], int(version), lots(("x", 1)))
    said = await waiting_room("stock", database=stage.database)
    assert (said.status, said.err) == (0, "")
    assert "balanced: " in said.out
    unknown = await waiting_room("stock", "--clinic", "0099", database=stage.database)
    assert (unknown.status, unknown.out, unknown.err) == (2, "", "there is no clinic 0099\n")
    async with stage.database.owner() as owner:
        await owner.execute("UPDATE stock_lots SET on_hand = on_hand + 1 WHERE lot = 'x'")
    said = await waiting_room("stock", "--clinic", "0004", database=stage.database)
    assert said.status == 1
    assert "DOES NOT BALANCE" in said.out


async def test_what_has_run_out_makes_no_slot_free(stage: Stage, base: str, operator: Caller) -> None:
    """As hold would decide: by the day, since lots expire, and no longer than stock is short."""
    spec, tomorrows = SPECS[4], tomorrow().date()

    async def statuses(app: Caller) -> dict[datetime, str]:
        query = {"service": SERVICE, "from": tomorrow(8).isoformat(), "to": (tomorrow(11) + A_DAY).isoformat()}
        answer = await app.get(f"/v1/providers/{spec.provider_id}/slots", params=query)
        assert answer.status == 200, answer.body
        return {datetime.fromisoformat(each["start_at"]): each["status"] for each in answer.body["slots"]}

    async def earliest(app: Caller) -> list[str]:
        answer = await app.get(f"/v1/clinics/{spec.clinic_id}/slots", params={"service": SERVICE})
        return [each["start_at"] for each in answer.body["slots"]]

    async with Caller(base, stage.token) as app:
        assert set((await statuses(app)).values()) == {"busy-unavailable"}
        assert await earliest(app) == []
        await put(operator, spec, 0, lots(("a", 2), expires_on=tomorrows.isoformat()))
        found = await statuses(app)
        assert {at.date() for at, status in found.items() if status == "free"} == {tomorrows}
        assert {at.date() for at, status in found.items() if status == "busy-unavailable"} == {tomorrows + A_DAY}
        await hold(stage, spec, 9)
        found = await statuses(app)
        assert (found[tomorrow(9)], found[tomorrow(10)]) == ("busy", "free")
        await hold(stage, spec, 10)
        found = await statuses(app)
        assert (found[tomorrow(10)], found[tomorrow(8)]) == ("busy", "busy-unavailable")
        assert await earliest(app) == []
        await put(operator, spec, 1, lots(("a", 3)))
        assert (await statuses(app))[tomorrow(8)] == "free"
        assert len(await earliest(app)) == 1


async def test_a_lot_that_would_be_more_than_can_be_stored_is_refused_where_it_is_entered(
    stage: Stage, operator: Caller
) -> None:
    """Request by request it grew past its column, and from then on each was answered 500."""
    spec = SPECS[5]
    for version in range(2):
        await enter(operator, spec, version, "received", f"{version}", 1_000_000, expires_on=EXPIRES)
    async with stage.database.owner() as owner:
        for table, kind in (("stock_lots", {"expires_on": LATER}), ("stock_movements", {"kind": "received"})):
            [(name, value)] = kind.items()
            await owner.execute(
                f"INSERT INTO {table} (clinic_id, product, pool, lot, on_hand, {name}) "
                "VALUES ($1, 'flu', 'general', 'full', $2, $3)",
                spec.clinic_id,
                MOST - 5,
                value,
            )
    more = await enter(operator, spec, 2, "received", "full", 6, expires_on=EXPIRES)
    assert (more.status, more.problem, more.body["errors"][0]["pointer"]) == (422, "wrong-value", "/doses")
    assert str(MOST) in more.body["detail"]
    assert "5 at the most" in more.body["errors"][0]["fix"]
    used = await enter(operator, spec, 2, "administered", "full", 1_000_000)
    assert (used.status, [each["balanced"] for each in used.body["lots"]]) == (200, [True] * 3)
    async with stage.database.owner() as owner:
        await owner.execute(
            "UPDATE stock_lots SET administered = administered + on_hand, on_hand = 0 WHERE lot = 'full'"
        )
    counted = await put(operator, spec, 3, lots(("0", 1), ("full", 1_000_000)))
    assert (counted.status, counted.body["errors"][0]["pointer"]) == (422, "/lots/1/on_hand")
    for field, doses in (("on_hand", MOST + 1), ("on_hand", -1)):
        wrong = await put(operator, spec, 3, {"lots": [{"lot": "0", "expires_on": EXPIRES, field: doses}]})
        assert (wrong.status, wrong.body["errors"][0]["pointer"]) == (422, "/lots/0/on_hand")
