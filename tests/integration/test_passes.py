"""Passes on a real ingress: what opens which booking, until when, and what a patient does with one in a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.stack import Kafka
from tests.support.archived import over
from tests.support.browsing import PHONE, browsing, needs_a_browser
from tests.support.database import Database
from tests.support.ingress import Caller, Newcomer, Stage, ingress_process, staged
from tests.support.log import until
from tests.support.passes import booked, opened, pass_of, waiting
from tests.support.running import running
from tests.support.world import clinics, settings_for, tomorrow
from tests.support.written import HELD, plant
from waiting_room.access import OwnerKind
from waiting_room.domain.appointment import EventType
from waiting_room.passes import Pass, sign
from waiting_room.store.journal import Journal
from workers.assemble import Role

SECRET, BEFORE = "a secret for these tests only!!!", "the secret before - of tests only"
NEXT = "the secret that comes next - of tests"
SPECS = clinics(2)
ONE, TWO = SPECS


@pytest.fixture(scope="module")
async def stage(kafka: Kafka, template: Database) -> AsyncIterator[Stage]:
    async with (
        staged(kafka, template, SPECS) as stage,
        running(Role.HOLD, settings_for(stage.database, kafka)),
        running(Role.RELAY, settings_for(stage.database, kafka, "relay")),
    ):
        yield stage


@pytest.fixture(scope="module")
async def served(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """Where ingress is, and all that it has logged so far by the file's name."""
    secrets: dict[str, Any] = {"notify_link_secret": SECRET, "notify_link_secrets_retired": f"{BEFORE}, {NEXT}"}
    async with ingress_process(stage.kafka, stage.database, **secrets) as (base, process):
        yield base, str(process.log_file)


@pytest.fixture
async def app(stage: Stage, served: tuple[str, str]) -> AsyncIterator[Caller]:
    async with Caller(served[0], stage.token) as app:
        yield app


@pytest.fixture
async def anybody(served: tuple[str, str]) -> AsyncIterator[Caller]:
    async with Caller(served[0], None) as anybody:
        yield anybody


async def test_a_pass_opens_its_booking_and_nothing_else(app: Caller, anybody: Caller) -> None:
    mine, other = await booked(app), await booked(app, hour=10)
    text = await pass_of(app, mine)
    answer, cookie = await opened(anybody, text)
    assert (answer.status, answer.body["booking_ref"], answer.body["clinic"]) == (200, mine, "Clinic 0001")
    flags = {part.strip().lower() for part in answer.headers["Set-Cookie"].split(";")}
    assert {"httponly", "secure", "samesite=strict", "path=/"} <= flags
    assert answer.headers["Set-Cookie"].startswith("__Host-pass_")

    address = f"/v1/appointments/{mine}"
    assert (await anybody.get(address)).status == 401
    assert (await anybody.get(address, headers=cookie)).body["status"] == "confirmed"
    assert (await anybody.get(address.lower(), headers=cookie)).status == 200, "a ref as people type it"
    assert (await anybody.get(f"{address}/events", headers=cookie)).status == 200
    assert (await anybody.get(f"/v1/appointments/{other}", headers=cookie)).status == 401
    moved_over = {"Cookie": cookie["Cookie"].replace(mine.replace("-", ""), other.replace("-", ""))}
    assert (await anybody.get(f"/v1/appointments/{other}", headers=moved_over)).status in (401, 404)
    assert (await anybody.search("patient-1", headers=cookie)).status == 401
    assert (await anybody.call("POST", f"{address}/passes", headers=cookie)).status == 401, "makes no other"
    assert (await anybody.book("key", headers=cookie)).status == 401
    assert text not in str((await app.get(f"{address}/history")).body)


@pytest.mark.parametrize("text", ["", "no pass", "0001-AAAA-BBBB-CCCC-DDDD.1900000000.0.aaaaaaaaaaaaaaaaaaaaaaaaaa"])
async def test_what_is_no_pass_opens_nothing(anybody: Caller, text: str) -> None:
    answer, _ = await opened(anybody, text)
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "/pass")
    refused = r'waiting_room_passes_opened_total\{outcome="refused"\} [1-9]'
    assert re.search(refused, (await anybody.get("/metrics")).body)
    assert "Set-Cookie" not in answer.headers


async def test_a_pass_is_over_when_it_ends_is_revoked_or_of_no_booking(app: Caller, anybody: Caller) -> None:
    ref, now = await booked(app, hour=11), datetime.now(UTC)
    later = now + timedelta(days=1)
    for made in (Pass(ref, now - timedelta(seconds=1), 0), Pass(ref, later, 1), Pass("0001" + "-AAAA" * 4, later, 0)):
        assert (await opened(anybody, sign(SECRET, made)))[0].status == 422
    assert (await opened(anybody, sign(BEFORE, Pass(ref, later, 0))))[0].status == 200, "signed before the change"
    assert (await opened(anybody, sign(NEXT, Pass(ref, later, 0))))[0].status == 200, "by who has been told of it first"
    assert (await opened(anybody, sign("x" * 32, Pass(ref, later, 0))))[0].status == 422

    first = await pass_of(app, ref)
    assert await pass_of(app, ref) == first, "nothing is written when one is made"
    _, cookie = await opened(anybody, first)
    address = f"/v1/appointments/{ref}"
    assert (await anybody.call("DELETE", f"{address}/passes", headers=cookie)).status == 401
    assert (await app.call("DELETE", f"{address}/passes")).status == 204
    assert (await anybody.get(address, headers=cookie)).status == 401
    assert (await opened(anybody, first))[0].status == 422
    _, cookie = await opened(anybody, await pass_of(app, ref))
    assert (await anybody.get(address, headers=cookie)).status == 200


async def test_who_watches_is_told_nothing_more_once_the_pass_is_revoked(
    stage: Stage, app: Caller, anybody: Caller
) -> None:
    async with stage.database.owner() as owner:
        mine = await plant(owner, TWO, 3, HELD)
        address = f"/v1/appointments/{mine.booking_ref}"
        _, cookie = await opened(anybody, await pass_of(app, mine.booking_ref))
        async with anybody.session.get(f"{address}/events", headers=cookie) as stream:
            async for line in stream.content:
                if line.startswith(b"data:"):
                    break
            assert (await app.call("DELETE", f"{address}/passes")).status == 204
            async with owner.transaction():
                journal = await Journal.open(owner, [TWO.clinic_id])
                found = await journal.load([mine.key])
                journal.record(found[mine.key], EventType.CONFIRMED)
                await journal.write()
            assert b"confirmed" not in await stream.read()


async def test_a_pass_of_who_waits_holds_while_they_may(stage: Stage, app: Caller, anybody: Caller) -> None:
    _, waits = await waiting(app, 20)
    async with stage.database.owner() as owner:
        await owner.execute("UPDATE appointments SET accepted_at = '2026-01-01' WHERE booking_ref = $1", waits)
    answer, cookie = await opened(anybody, await pass_of(app, waits))
    assert answer.status == 200
    assert (await anybody.get(f"/v1/appointments/{waits}", headers=cookie)).body["status"] == "waitlisted"


async def test_who_may_make_and_revoke_them(stage: Stage, app: Caller, served: tuple[str, str]) -> None:
    ref = await booked(app, hour=12)
    async with (
        Newcomer(stage.kafka, served[0], OwnerKind.CLINIC, ONE.clinic_id) as desk,
        Newcomer(stage.kafka, served[0], OwnerKind.CLINIC, TWO.clinic_id) as elsewhere,
        Newcomer(stage.kafka, served[0], OwnerKind.APP, "another") as stranger,
    ):
        assert await pass_of(desk, ref)
        for nobody in (elsewhere, stranger):
            for method in ("POST", "DELETE"):
                assert (await nobody.call(method, f"/v1/appointments/{ref}/passes")).status == 404


async def test_none_is_made_that_would_open_nothing(stage: Stage, app: Caller) -> None:
    async with stage.database.owner() as owner:
        long_over = await over(owner, ONE, 0)
    made = await app.call("POST", f"/v1/appointments/{long_over.booking_ref}/passes")
    assert (made.status, made.problem) == (409, "wrong-status")


async def test_another_sites_page_gets_nothing_done(app: Caller, anybody: Caller) -> None:
    ref = await booked(app, hour=13)
    text = await pass_of(app, ref)
    _, cookie = await opened(anybody, text)
    address, cross = f"/v1/appointments/{ref}", {"Sec-Fetch-Site": "cross-site"}
    key = {"Idempotency-Key": "k"}
    assert (await anybody.call("DELETE", address, headers={**cookie, **key, **cross})).status == 403
    assert (await anybody.call("DELETE", address, headers=cookie)).status == 400, "a form has no such header"
    form = await anybody.call("POST", "/v1/passes", data={"pass": text})
    assert form.status == 415, "nor can it set our cookie"
    assert (await anybody.call("POST", "/v1/passes", json={"pass": text}, headers=cross)).status == 403
    assert (await app.get(address)).body["status"] == "confirmed"


async def test_a_patient_cancels_and_moves_by_pass(app: Caller, anybody: Caller) -> None:
    ref = await booked(app, hour=14)
    _, cookie = await opened(anybody, await pass_of(app, ref))
    address = f"/v1/appointments/{ref}"
    to = (tomorrow(16) + timedelta(days=2)).isoformat()
    headers = {**cookie, "Idempotency-Key": "move"}
    assert (await anybody.call("PATCH", f"{address}/reschedule", json={"start_at": to}, headers=headers)).status == 202

    async def moved() -> bool:
        wish = (await anybody.get(address, headers=cookie)).body.get("reschedule")
        return wish is not None and str(wish["status"]) == "rescheduled"

    await until(moved)
    assert (await anybody.get(address, headers=cookie)).body["reschedule"]["by"] == "patient"
    headers = {**cookie, "Idempotency-Key": "cancel"}
    told = [await anybody.call("DELETE", address, headers=headers) for _ in range(2)]
    assert [each.status for each in told] == [202, 202]

    async def cancelled() -> bool:
        read = (await anybody.get(address, headers=cookie)).body
        return (read["status"], read.get("by"), read.get("reason")) == ("cancelled", "patient", "pat")

    await until(cancelled)


@needs_a_browser
async def test_a_browser_opens_the_link_moves_and_cancels(app: Caller, served: tuple[str, str]) -> None:
    base, log_file = served
    ref = await booked(app, hour=17)
    text = await pass_of(app, ref)
    day = (tomorrow() + timedelta(days=4)).date()
    async with browsing(PHONE) as (page, complaints):
        await page.goto(f"{base}/pass#{text}")
        await expect(page.locator("#status")).to_have_text("Confirmed")
        await expect(page.locator("#clinic")).to_have_text("Clinic 0001")
        assert page.url == f"{base}/pass", "the pass is gone from the address"
        assert await page.evaluate("document.cookie") == ""
        [cookie] = await page.context.cookies()
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
        await page.reload()
        await expect(page.locator("#status")).to_have_text("Confirmed")
        await page.fill("#day", day.isoformat())
        await page.click("#find")
        form = "new Intl.DateTimeFormat(navigator.language, {dateStyle: 'full', timeZone: 'UTC'})"
        written = await page.evaluate(f"day => {form}.format(new Date(day))", day.isoformat())
        await expect(page.locator("#when")).to_contain_text(written)
        await page.click("#cancel")
        await page.click("#no")
        await expect(page.locator("#status")).to_have_text("Confirmed")
        await page.click("#cancel")
        await page.click("#yes")
        await expect(page.locator("#status")).to_have_text("Cancelled")
        await expect(page.locator("#change")).to_be_hidden()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it fits the screen"
        assert complaints == []
    assert text.rpartition(".")[2] not in Path(log_file).read_text()


async def test_an_offer_is_answered_by_its_bookings_pass_only(app: Caller, anybody: Caller) -> None:
    first, second = await waiting(app, 18)
    _, cookie = await opened(anybody, await pass_of(app, second))
    _, of_another = await opened(anybody, await pass_of(app, first))
    await app.cancel(first, str(uuid4()))
    found: list[str] = []

    async def offered() -> bool:
        read = (await anybody.get(f"/v1/appointments/{second}", headers=cookie)).body
        found[:] = [str(read["waitlist"].get("offer", {}).get("links", {}).get("accept"))]
        return str(read["stage"]) == "offered"

    await until(offered)
    [link] = found
    key = {"Idempotency-Key": "answer"}
    assert (await anybody.call("POST", link, headers=key)).status == 401
    assert (await anybody.call("POST", link, headers={**of_another, **key})).status == 401
    assert (await anybody.call("POST", link, headers=cookie)).status == 400, "a form has no such header"
    accepted = await anybody.call("POST", link, headers={**cookie, **key})
    assert (accepted.status, accepted.body["status"]) == (200, "confirmed")


@needs_a_browser
async def test_a_browser_takes_a_place_that_comes_free(app: Caller, served: tuple[str, str]) -> None:
    base, _ = served
    first, second = await waiting(app, 19)
    async with browsing(PHONE) as (page, complaints):
        await page.goto(f"{base}/pass#{await pass_of(app, second)}")
        await expect(page.locator("#status")).to_have_text("On the waiting list")
        await expect(page.locator("#offer")).to_be_hidden()
        await app.cancel(first, str(uuid4()))
        await expect(page.locator("#status")).to_have_text("A place has come free for you")
        await expect(page.locator("#held")).to_contain_text("It is held for you until")
        await page.click("#accept")
        await expect(page.locator("#status")).to_have_text("Confirmed")
        await expect(page.locator("#offer")).to_be_hidden()
        assert complaints == []


@needs_a_browser
async def test_a_browser_shows_the_line_live_and_when_the_link_is_over(
    stage: Stage, app: Caller, served: tuple[str, str]
) -> None:
    base, _ = served
    async with stage.database.owner() as owner:
        await plant(owner, TWO, 1, HELD)
        mine = await plant(owner, TWO, 2, HELD)
        text = await pass_of(app, mine.booking_ref)
        async with browsing(PHONE) as (page, _):
            await page.goto(f"{base}/pass#{text}")
            await expect(page.locator("#status")).to_have_text("Waiting for the clinic to confirm")
            await expect(page.locator("#line")).to_contain_text("number 2 in line")
            async with owner.transaction():
                journal = await Journal.open(owner, [TWO.clinic_id])
                found = await journal.load([mine.key])
                journal.record(found[mine.key], EventType.CONFIRMED)
                await journal.write()
            await expect(page.locator("#status")).to_have_text("Confirmed")
            assert (await app.call("DELETE", f"/v1/appointments/{mine.booking_ref}/passes")).status == 204
            await page.reload()
            await expect(page.locator("#state")).to_contain_text("does not hold any more")
            await expect(page.locator("main")).to_be_hidden()
