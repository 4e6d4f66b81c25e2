"""What ingress shows of messages to patients, and the link by which they end them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import aiohttp

from tests.stack import Kafka
from tests.support.database import Database
from tests.support.ingress import Caller, ingress, staged
from tests.support.world import clinics
from tests.support.written import CONFIRMED, plant
from waiting_room.store import notifications
from waiting_room.store.notifications import Planned, Settled
from waiting_room.unsubscribe import token_of

[SPEC] = clinics(1)
SECRET, BEFORE = "a secret for these tests only!!!", "the secret before - of tests only"


async def test_what_a_patient_was_told_stands_beside_the_booking(kafka: Kafka, template: Database) -> None:
    async with (
        staged(kafka, template, [SPEC]) as stage,
        ingress(kafka, stage.database, notify_link_secret=SECRET, notify_link_secrets_retired=BEFORE) as base,
        Caller(base, stage.token) as app,
        stage.database.owner() as owner,
    ):
        booking = await plant(owner, SPEC, 1, CONFIRMED)
        ref, due_at = booking.booking_ref, datetime.now(UTC) - timedelta(seconds=1)
        assert "notifications" not in (await app.get(f"/v1/appointments/{ref}")).body
        planned = [Planned(SPEC.clinic_id, ref, 1, kind, "sms", due_at) for kind in ("confirmed", "reminder-1h")]
        await notifications.enlist(owner, planned)
        claimed = await notifications.claim(owner, "s", within_seconds=0, limit=9, silence_seconds=9)
        keys = sorted(each.key for each in claimed)
        begun = sorted(await notifications.begin(owner, "s", keys, lease_seconds=9), key=lambda each: each.key)
        outcomes = [Settled(begun[0].key, begun[0].lease_until, "sent")]
        outcomes.append(Settled(begun[1].key, begun[1].lease_until, "failed", error="http 503", next_channel="email"))
        await notifications.record(owner, outcomes)
        for address in (f"/v1/appointments/{ref}", f"/v1/appointments/{ref}/history"):
            shown = (await app.get(address)).body["notifications"]
            assert {(each["kind"], each["channel"], each["state"], each["reason"]) for each in shown} == {
                ("confirmed", "sms", "sent", None),
                ("reminder-1h", "sms", "failed", "http 503"),
                ("reminder-1h", "email", "due", None),
            }

        async def listed() -> list[str]:
            return [row["channel"] for row in await owner.fetch("SELECT channel FROM unsubscribed")]

        async with aiohttp.ClientSession(base) as anybody:
            link = f"/v1/unsubscribe/{token_of(SECRET, ref, 'email')}"
            async with anybody.get(link) as page:  # as a scanner of mail does
                assert (page.status, page.content_type) == (200, "text/html")
                assert "Möchten Sie keine Nachrichten per E-Mail mehr?" in await page.text()
                kept = page.headers["Cache-Control"], page.headers["Referrer-Policy"]
                assert kept == ("no-store", "no-referrer"), "the link is a secret"
            assert await listed() == []
            async with anybody.post(link, data={"List-Unsubscribe": "One-Click"}) as done:
                assert done.status == 200
            assert await listed() == ["email"]
            async with anybody.post(link, data={"again": "1"}) as done:
                assert done.status == 200
            assert await listed() == []
            async with anybody.get(f"/v1/unsubscribe/{token_of(BEFORE, ref, 'email')}") as page:  # of an old message
                assert page.status == 200
            for wrong in (link[:-1], f"/v1/unsubscribe/{token_of('x' * 32, ref, 'email')}"):
                async with anybody.post(wrong) as refused:
                    assert (refused.status, await listed()) == (404, [])
                    assert "newer message" in (await refused.json(content_type=None))["next_step"]
                async with anybody.get(wrong, headers={"Accept": "text/html,*/*;q=0.8"}) as shown:
                    assert (shown.status, shown.content_type) == (404, "text/html")
                    assert "Link einer neueren Nachricht" in await shown.text()
