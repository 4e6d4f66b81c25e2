"""Archived bookings over HTTP: read as before, and told that they are over whatever is asked of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.stack import Kafka
from tests.support.archived import CHILDREN, archive, long_ago, over
from tests.support.database import Database
from tests.support.ingress import Caller, Newcomer, Stage, ingress, staged
from tests.support.log import everything_in
from tests.support.world import clinics, tomorrow
from tests.support.written import CONFIRMED
from waiting_room.access import OwnerKind
from waiting_room.domain.appointment import EventType
from waiting_room.topics import BOOKING_REQUESTS
from waiting_room.webhook_events import webhook_id

SPECS = clinics(1)
LIST = "/v1/appointments"


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with staged(kafka, template, SPECS) as stage:
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
async def clinic(stage: Stage, base: str) -> AsyncIterator[Caller]:
    async with Newcomer(stage.kafka, base, OwnerKind.CLINIC, "0001") as caller:
        yield caller


async def test_what_is_archived_is_read_as_it_was_and_changed_by_nobody(
    stage: Stage, app: Caller, clinic: Caller
) -> None:
    async with stage.database.owner() as owner:
        seen = await over(owner, SPECS[0], 0)
        off = await over(owner, SPECS[0], 1, (*CONFIRMED, EventType.CANCELLED, EventType.WITHDRAWN))
        live = await over(owner, SPECS[0], 2, CONFIRMED)
        await owner.execute(
            "INSERT INTO notifications (clinic_id, booking_ref, revision, kind, channel, state, due_at, "
            "next_attempt_at, ended_at) VALUES ('0001', $1, 1, 'confirmed', 'email', 'sent', now(), now(), now())",
            seen.booking_ref,
        )

    async def read() -> list[tuple[int, Any, str | None]]:
        """All that is told of these three, to either."""
        day = {"clinic": "0001", "day": long_ago().date().isoformat()}
        asked = [
            await app.search("anna"),
            await app.search("anna", params={"limit": "2"}),
            await clinic.get(LIST, params=day),
        ]
        for booking in (seen, off, live):
            asked += [await who.get(f"{LIST}/{booking.booking_ref}{more}") for who in (app, clinic) for more in PAGES]
        return [(each.status, each.body, each.headers.get("ETag")) for each in asked]

    before = await read()
    assert {status for status, *_ in before} == {200}
    assert [len(body["appointments"]) for _, body, _ in before[:3]] == [3, 2, 3]
    async with stage.database.owner() as owner:
        refs = [seen.booking_ref, off.booking_ref]
        assert await archive(owner, "0001", refs) == set(refs)
    assert await read() == before

    records = len(await everything_in(stage.kafka, BOOKING_REQUESTS))
    refused = [
        await app.cancel(seen.booking_ref, "too-late"),
        await app.reschedule(seen.booking_ref, "another-time", start_at=tomorrow().isoformat()),
        await clinic.cancel(seen.booking_ref, "by-the-clinic"),
        await clinic.call("POST", f"{LIST}/{seen.booking_ref}/arrival"),
        await clinic.call("POST", f"{LIST}/{off.booking_ref}/no-show"),
        await clinic.call("POST", f"{LIST}/{off.booking_ref}/completion"),
    ]
    assert [(each.status, each.problem) for each in refused] == [(409, "wrong-status")] * len(refused)
    assert refused[0].body["detail"] == "The booking is completed."
    assert len(await everything_in(stage.kafka, BOOKING_REQUESTS)) == records
    again = await clinic.call("POST", f"{LIST}/{seen.booking_ref}/completion")  # as it was said before
    assert (again.status, again.body["status"]) == (200, "completed")
    given = {"administered": [{"product": "flu", "lot": "a"}]}
    late = await clinic.call("POST", f"{LIST}/{seen.booking_ref}/completion", json=given)
    assert (late.status, late.problem) == (409, "wrong-status")
    assert "archived" in late.body["detail"]
    assert (await app.cancel(off.booking_ref, "once-more")).status == 202
    never = "0001-0000-0000-0000-0000"
    assert (await clinic.call("POST", f"{LIST}/{never}/arrival")).status == 404


PAGES = ("", "/history")


async def test_whoever_asks_for_webhooks_of_archived_bookings_is_told_that_there_are_none(
    stage: Stage, app: Caller, clinic: Caller
) -> None:
    """There was no such delivery, and a stretch of time was said to be sent again though most of it was not."""
    async with stage.database.owner() as owner:
        booking = await over(owner, SPECS[0], 5, patient={"id": "ben"})
        await owner.execute(CHILDREN.replace("$ref", f"'{booking.booking_ref}'"))
        [seq] = [row["seq"] for row in await owner.fetch("SELECT DISTINCT seq FROM webhook_deliveries")]
    of = {"of-clinic": clinic, "of-app": app}
    paths = {each: f"/v1/webhook-endpoints/{each}" for each in of}
    names = {each: webhook_id(each, "0001", seq) for each in of}
    for each, caller in of.items():
        assert (await caller.get(f"{paths[each]}/deliveries/{names[each]}")).status == 200
    async with stage.database.owner() as owner:
        assert await archive(owner, "0001", [booking.booking_ref]) == {booking.booking_ref}
    for each, caller in of.items():
        delivery = f"{paths[each]}/deliveries/{names[each]}"
        answers = [await caller.get(delivery), await caller.call("POST", f"{delivery}/replay")]
        assert [(answer.status, answer.problem) for answer in answers] == [(410, "delivery-archived")] * 2
        assert "history" in answers[0].body["next_step"]
        never = f"{paths[each]}/deliveries/{webhook_id(each, '0001', 10_000)}"
        assert (await caller.get(never)).problem == "unknown-delivery"
        for days, archived in ((90, True), (7, False)):
            since = {"since": (datetime.now(UTC) - timedelta(days=days)).isoformat()}
            replayed = await caller.call("POST", f"{paths[each]}/replay", json=since)
            assert (replayed.status, replayed.body["archived"]) == (202, archived)
