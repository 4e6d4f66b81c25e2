"""The page behind a pass, where the way to it is bad."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from playwright.async_api import Route, expect

from tests.stack import Kafka
from tests.support.browsing import PHONE, browsing, needs_a_browser
from tests.support.database import Database
from tests.support.ingress import Caller, ingress, staged
from tests.support.passes import pass_of
from tests.support.running import running
from tests.support.world import clinics, settings_for
from tests.support.written import HELD, plant
from waiting_room.domain.appointment import EventType, Reason
from waiting_room.store.journal import Journal
from workers.assemble import Role

SECRET = "a secret for these tests only!!!"
SPEC = clinics(1)[0]


@needs_a_browser
async def test_who_reads_german_is_told_nothing_in_english(kafka: Kafka, template: Database) -> None:
    refusal = {"type": "/problems/notice-passed", "detail": "It can be cancelled.", "next_step": "Call the clinic."}

    async def refused(route: Route) -> None:
        if route.request.method == "DELETE":
            await route.fulfill(status=409, json=refusal)
        else:
            await route.continue_()

    async with (
        staged(kafka, template, [SPEC]) as stage,
        ingress(kafka, stage.database, notify_link_secret=SECRET) as base,
        Caller(base, stage.token) as app,
        stage.database.owner() as owner,
        browsing(PHONE, locale="de-AT") as (page, _),
    ):
        booked = await plant(owner, SPEC, 1, (*HELD, EventType.CONFIRMED))
        lost = await plant(owner, SPEC, 2, (*HELD, EventType.REJECTED), reason=Reason.SLOT_TAKEN)
        await page.route("**/v1/appointments/**", refused)
        await page.goto(f"{base}/pass#{await pass_of(app, booked.booking_ref)}")
        await expect(page.locator("html")).to_have_attribute("lang", "de")
        await expect(page.locator("#status")).to_have_text("Bestätigt")
        await page.click("#cancel")
        await expect(page.locator("#no")).to_be_focused()
        await page.set_viewport_size({"width": 320, "height": 700})
        yes, no = [await page.locator(each).bounding_box() for each in ("#yes", "#no")]
        assert yes is not None
        assert no is not None
        assert no["y"] >= yes["y"] + yes["height"] + 8, "a thumb that slips gives nothing up"
        await page.keyboard.press("Enter")
        await expect(page.locator("#cancel")).to_be_focused()
        await page.click("#cancel")
        await page.click("#yes")
        await expect(page.locator("#state")).to_have_text("Zum Absagen ist es hier zu spät. Rufen Sie die Praxis an.")
        await page.goto(f"{base}/pass#{await pass_of(app, lost.booking_ref)}")
        await expect(page.locator("#status")).to_have_text("Nicht gebucht")
        await expect(page.locator("#note")).to_contain_text("Diese Zeit war schon vergeben. Wenn Sie doch kommen")


@needs_a_browser
async def test_a_browser_tries_again_and_says_that_something_is_away_only_while_it_is(
    kafka: Kafka, template: Database
) -> None:
    async with (
        staged(kafka, template, [SPEC]) as stage,
        running(Role.RELAY, settings_for(stage.database, kafka, "relay")),
        ingress(kafka, stage.database, notify_link_secret=SECRET) as base,
        Caller(base, stage.token) as app,
        stage.database.owner() as owner,
    ):
        mine = await plant(owner, SPEC, 5, HELD)
        async with browsing(PHONE) as (page, _):
            state, status = page.locator("#state"), page.locator("#status")

            async def look() -> None:
                """Half a minute later it looks by itself."""
                await page.clock.run_for(31_000)

            async def away(route: Route) -> None:
                await route.fulfill(status=503, json={"detail": "Kafka says no.", "next_step": "Send the same key."})

            async def happens(event: EventType) -> None:
                async with owner.transaction():
                    journal = await Journal.open(owner, [SPEC.clinic_id])
                    found = await journal.load([mine.key])
                    journal.record(found[mine.key], event)
                    await journal.write()

            await page.clock.install()
            await page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))  # what is over by then is refused
            await page.route("**/v1/passes", away)
            await page.goto(f"{base}/pass#{await pass_of(app, mine.booking_ref)}")
            await expect(state).to_have_text("This cannot be reached right now. Try again in a moment.")
            await page.unroute("**/v1/passes")
            await page.route("**/v1/appointments/**", away)
            await page.reload()
            await expect(page.locator("main")).to_be_hidden()
            await expect(state).to_have_text("This cannot be reached right now. Try again in a moment.")
            assert page.url == f"{base}/pass"
            await page.unroute("**/v1/appointments/**")
            await look()
            await expect(status).to_have_text("Waiting for the clinic to confirm")
            await expect(state).to_have_text("")
            await happens(EventType.CONFIRMED)
            await expect(status).to_have_text("Confirmed")  # live again: its clock stands still before the next look
            await page.route("**/v1/appointments/**", away)
            await look()
            await expect(state).to_have_text("connection lost, trying again")
            await page.click("#cancel")
            await page.click("#yes")
            await expect(state).to_have_text("This cannot be reached right now. Try again in a moment.")
            await page.unroute("**/v1/appointments/**")
            await happens(EventType.ARRIVED)
            await look()
            await expect(state).to_have_text("")
            await expect(status).to_have_text("You have arrived")
            await expect(status).to_have_class("good")
            assert await page.evaluate("midnight('2026-10-04', 'Australia/Sydney').toISOString()") == (
                "2026-10-03T14:00:00.000Z"
            ), "the day on which clocks change there at two"
