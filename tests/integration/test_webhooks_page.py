"""/desk/webhooks in a browser: an endpoint is made, tested, looked into, replayed, rotated and switched off."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import Locator, Page, expect

from tests.stack import Kafka
from tests.support.browsing import DESK, browsing, needs_a_browser
from tests.support.database import Database
from tests.support.endpoint import Endpoint, listening
from tests.support.ingress import Newcomer, ingress, staged
from tests.support.running import running
from tests.support.webhooks import CLINIC, event, publish, received, webhooks_settings
from tests.support.world import clinics
from waiting_room.access import OwnerKind
from waiting_room.domain.appointment import EventType
from workers.assemble import Role


async def look_until(page: Page, row: Locator, text: str) -> None:
    """What came of an attempt is known a little after it."""
    async with asyncio.timeout(60):
        while text not in await row.inner_text():
            await page.click("#filter button")
            await expect(row).to_have_count(1)


@needs_a_browser
async def test_a_clinics_desk_looks_after_its_endpoint(kafka: Kafka, template: Database) -> None:
    endpoint = Endpoint("by page", answers=iter([(204, {}), (500, {})]))
    async with (
        staged(kafka, template, clinics(1)) as stage,
        ingress(kafka, stage.database, webhook_allow_networks="127.0.0.0/8") as base,
        Newcomer(kafka, base, OwnerKind.CLINIC, CLINIC) as clinic,
        listening(endpoint),
        browsing(DESK) as (page, complaints),
    ):
        await page.goto(f"{base}/desk/webhooks")
        await expect(page.locator("main")).to_be_hidden()
        await page.fill("#key", "none")
        await page.click("#ask button")
        await expect(page.locator("#state")).to_contain_text("That key is not valid, or not any more.")
        await page.fill("#key", str(clinic.token))
        await page.click("#ask button")
        await expect(page.locator("#none")).to_be_visible()

        await page.click("#new summary")
        await page.fill("#url", "https://10.0.0.1/hook")
        await page.click("#create button")
        await expect(page.locator("#state")).to_have_text(
            "The address is not public. Send an https address that others can reach, without a login in it."
        )
        await page.fill("#url", endpoint.url)
        await page.locator("#events input:not([name='booking.confirmed'])").evaluate_all(
            "boxes => boxes.forEach((box) => { box.checked = false; })"
        )
        await page.click("#create button")
        row = page.locator("#endpoints tr")
        await expect(row).to_contain_text("unverified")
        await expect(row).to_contain_text("booking.confirmed")
        endpoint.secret = await page.inner_text("#secret code")

        settings = webhooks_settings(stage.database, stage.kafka, webhook_retry_seconds="600")
        async with running(Role.WEBHOOKS, settings):
            await received(endpoint, 1)
            await publish(stage.kafka, event(1, EventType.CONFIRMED), database=stage.database)
            await received(endpoint, 2)
            await row.get_by_text("Deliveries").click()
            failed = page.locator("#rows tr", has_text="booking.confirmed")
            await expect(failed).to_have_count(1)
            await look_until(page, failed, "500")
            await failed.get_by_text("Show").click()
            await expect(page.locator("#request")).to_contain_text('"type":"booking.confirmed"')
            await expect(page.locator("#request")).to_contain_text("webhook-id: 0001-1-")
            attempt = page.locator("#attempts tr")
            await expect(attempt).to_contain_text("500")
            await expect(attempt).to_contain_text(re.compile(r"\d ms"))
            await failed.get_by_text("Send again").click()
            await received(endpoint, 3)
            await look_until(page, failed, "delivered")
            await page.fill("#since", "2020-01-01T00:00")
            await page.click("#replay button")
            await expect(page.locator("#state")).to_contain_text("1 are due again")
            await received(endpoint, 4)

        before = endpoint.secret
        await row.get_by_text("Rotate").click()
        await expect(page.locator("#secret code")).not_to_have_text(before)
        await row.get_by_text("Disable").click()
        await row.get_by_role("button", name=f"Disable: what waits for it fails: {endpoint.url}").click()
        await expect(row).to_contain_text("disabled (owner)")
        refused = [each.partition("status of ")[2][:3] for each in complaints]
        assert refused == ["401", "422"], "the key and the address that are none, and nothing else"
        assert str(clinic.token) not in await page.content()
        await page.reload()
        await expect(page.locator("#ask")).to_be_visible()
