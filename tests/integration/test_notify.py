"""What patients are told of what becomes of their bookings, on real servers, from committed events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from icalendar import Calendar

from loadtest.gateways.ledger import Sent
from tests.stack import Kafka
from tests.support.database import Database
from tests.support.gateways import Gateways, gateways
from tests.support.log import append, everything_in, until
from tests.support.notifying import notify
from tests.support.running import running
from tests.support.world import clinics, seed, settings_for
from tests.support.written import CONFIRMED, HELD, plant
from waiting_room import passes, topics
from waiting_room.domain.appointment import EventType, Reason
from waiting_room.store import notifications, unsubscribed
from waiting_room.unsubscribe import token_of
from workers.assemble import Role

[SPEC] = clinics(1)
REJECTED = (*HELD, EventType.REJECTED)
CANCELLED = (*CONFIRMED, EventType.CANCELLED)
EMAIL = {"email": "p@patients.example"}
IN_JULY = datetime(datetime.now(UTC).year + 1, 7, 1, 7, tzinfo=UTC)
"""Next year; nine in Berlin."""


@pytest.fixture
async def post(database: Database) -> AsyncIterator[Gateways]:
    async with database.owner() as owner:
        await seed(owner, [SPEC])
        await owner.execute("UPDATE clinics SET timezone = 'Europe/Berlin', name = 'Clinic am Markt'")
    async with gateways() as found:
        yield found


async def told(
    database: Database, post: Gateways, events: tuple[EventType, ...], contact: dict[str, str], **changes: Any
) -> Sent:
    """What one patient is told at once."""
    locale, reason = changes.pop("locale", "en"), changes.pop("reason", None)
    patient = {"id": "p", "contact": contact, "locale": locale}
    async with database.owner() as owner:
        await plant(owner, SPEC, 1, events, patient=patient, start_at=IN_JULY, reason=reason)
    async with notify(database, post, **changes) as at_work:
        await at_work.take()
        async with at_work.sending():
            [sent] = await post.sent(1)
    return sent


async def test_from_the_event_to_the_patient(database: Database, fresh_kafka: Kafka, post: Gateways) -> None:
    async with database.owner() as owner:
        booking = await plant(owner, SPEC, 1, CONFIRMED, patient={"id": "p", "contact": EMAIL})
        events = await owner.fetch("SELECT record FROM appointment_events ORDER BY seq")
    settings = settings_for(database, fresh_kafka, "notify", **post.settings)
    async with running(Role.NOTIFY, settings):
        await append(fresh_kafka, topics.BOOKING_EVENTS, 1, SPEC.clinic_id, b"\xff")
        records = [row["record"].encode() for row in events]
        await append(fresh_kafka, topics.BOOKING_EVENTS, 1, SPEC.clinic_id, *records, *records)
        [sent] = await post.sent(1)

        async def noted() -> bool:
            async with database.owner() as owner:
                rows = await notifications.of_booking(owner, booking.clinic_id, booking.booking_ref)
            return [(row.kind, row.state) for row in rows if row.state != "due"] == [("confirmed", "sent")]

        await until(noted)
    assert (sent.channel, sent.to) == ("email", "p@patients.example")
    assert sent.key == f"{booking.booking_ref}:1:confirmed:email"
    aside = await everything_in(fresh_kafka, topics.dead_letters_of(topics.BOOKING_EVENTS))
    assert [record.value for record in aside] == [b"\xff"]


async def test_a_confirmation_has_all_there_is_to_know(database: Database, post: Gateways) -> None:
    sent = await told(database, post, CONFIRMED, EMAIL, notify_booking_link="https://app.example/b/{booking_ref}")
    ref = sent.key.partition(":")[0]
    assert "1 July" in sent.text
    assert "09:00 (Europe/Berlin)" in sent.text
    assert f"Reference: {ref}" in sent.text
    assert f"https://app.example/b/{ref}" in sent.text
    assert sent.subject is not None
    assert sent.subject.startswith("Confirmed: Clinic am Markt")
    assert sent.calendar is not None
    event: Any = Calendar.from_ical(sent.calendar).walk("VEVENT")[0]
    assert (event["uid"], event["status"]) == (f"{ref}@waiting-room", "CONFIRMED")
    assert event["dtstart"].dt.hour == 9


async def test_in_the_patients_language_by_the_channel_of_choice(database: Database, post: Gateways) -> None:
    contact = {**EMAIL, "sms": "+491", "channels": "sms,email"}
    sent = await told(database, post, CONFIRMED, contact, locale="de-AT")
    assert (sent.channel, sent.to, sent.language) == ("sms", "+491", "de")
    assert sent.text.startswith("Ihr Termin bei Clinic am Markt ist bestätigt")


async def test_who_was_rejected_is_offered_what_is_free(database: Database, post: Gateways) -> None:
    sent = await told(database, post, REJECTED, {"push": "token"}, reason=Reason.SLOT_TAKEN)
    assert (sent.channel, sent.subject) == ("push", "Not booked: Clinic am Markt")
    assert "Somebody else already had this time. Free: " in sent.text


async def test_where_a_clinic_is_away_others_of_its_business_are_offered(database: Database, post: Gateways) -> None:
    async with database.owner() as owner:
        await seed(owner, clinics(3)[1:])
        await owner.execute("UPDATE clinics SET name = 'Clinic am Tor' WHERE clinic_id = '0002'")
        await owner.execute("UPDATE clinics SET status = 'closed' WHERE clinic_id = '0003'")
    sent = await told(database, post, REJECTED, EMAIL, reason=Reason.CLINIC_UNAVAILABLE)
    assert sent.text.count(", Clinic am Tor") == 3
    assert "Clinic 0003" not in sent.text


@pytest.mark.parametrize(
    ("channel", "locale", "words"),
    [
        ("email", "en", "could not be moved. Nothing was free in the time you asked for. It stays as it was."),
        ("sms", "de", "konnte nicht verlegt werden. In der gewünschten Zeit war nichts frei. Es bleibt bei "),
    ],
)
async def test_who_was_not_moved_is_told_that_the_appointment_stands(
    database: Database, post: Gateways, channel: str, locale: str, words: str
) -> None:
    patient = {"id": "p", "contact": {**EMAIL, "sms": "+491", "channels": channel}, "locale": locale}
    refused = EventType.RESCHEDULE_REFUSED
    async with database.owner() as owner:
        events = (*CONFIRMED, refused, refused)
        await plant(owner, SPEC, 1, events, patient=patient, start_at=IN_JULY, reason=Reason.NO_FREE_SLOT)
    async with notify(database, post) as at_work:
        await at_work.take()
        async with at_work.sending():
            sent = await post.sent(3)
    told_of = {each.key.split(":")[2]: each for each in sent}
    assert set(told_of) == {"confirmed", "not_moved-5", "not_moved-6"}, "each wish is answered"
    assert words in told_of["not_moved-6"].text
    assert told_of["not_moved-6"].calendar is None


async def test_a_message_that_cannot_be_written_holds_up_no_other(database: Database, post: Gateways) -> None:
    async with database.owner() as owner:
        await plant(owner, SPEC, 1, REJECTED, patient={"id": "p", "contact": EMAIL}, reason=Reason.SLOT_TAKEN)
        await plant(owner, SPEC, 2, CONFIRMED, patient={"id": "q", "contact": EMAIL})
        await owner.execute("REVOKE SELECT ON seat_claims FROM waiting_room_notify")
    async with notify(database, post, notify_reminders="") as at_work:
        await at_work.take()
        async with at_work.sending():
            rows = {row["kind"]: (row["state"], row["last_error"]) for row in await at_work.settled()}
    assert rows == {"rejected": ("failed", "broken: InsufficientPrivilegeError"), "confirmed": ("sent", None)}


async def test_a_cancelled_booking_is_taken_out_of_the_calendar(database: Database, post: Gateways) -> None:
    sent = await told(database, post, CANCELLED, EMAIL, locale="de")
    assert "abgesagt" in sent.text
    assert sent.calendar is not None
    assert Calendar.from_ical(sent.calendar)["method"] == "CANCEL"


async def test_at_night_a_phone_stays_silent(database: Database, post: Gateways) -> None:
    now = datetime.now(UTC)
    hours = [(now + timedelta(hours=offset)).strftime("%H:%M") for offset in (-2, 2)]
    async with database.owner() as owner:
        await owner.execute("UPDATE clinics SET timezone = 'UTC'")
        contact = {"sms": "+491", "quiet_hours": "-".join(hours)}
        await plant(
            owner, SPEC, 1, CONFIRMED, patient={"id": "p", "contact": contact}, start_at=now + timedelta(days=9)
        )
    async with notify(database, post) as at_work:
        await at_work.take()
        news = next(row for row in await at_work.rows() if row["kind"] == "confirmed")
        assert now + timedelta(hours=1, minutes=58) < news["due_at"] < now + timedelta(hours=2, minutes=2)


async def test_a_channel_that_steps_in_keeps_to_the_quiet_hours(database: Database, post: Gateways) -> None:
    post.mood("email", refusing=1)
    now = datetime.now(UTC)
    quiet_hours = "-".join((now + timedelta(minutes=minutes)).strftime("%H:%M") for minutes in (-30, 31))
    patient = {"id": "p", "contact": {**EMAIL, "sms": "+491", "quiet_hours": quiet_hours}}
    async with database.owner() as owner:
        await owner.execute("UPDATE clinics SET timezone = 'UTC'")
        await plant(owner, SPEC, 1, CONFIRMED, patient=patient, start_at=now + timedelta(days=9))
    async with notify(database, post) as at_work:
        await at_work.take()

        async def stepped_in() -> list[datetime]:
            return [row["next_attempt_at"] for row in await at_work.rows() if row["channel"] == "sms"]

        async def is_there() -> bool:
            return bool(await stepped_in())

        async with at_work.sending():
            await until(is_there)
        [at] = await stepped_in()
    assert timedelta(minutes=29) < at - now < timedelta(minutes=32)


async def test_who_wants_none_and_who_cannot_be_reached_get_none(database: Database, post: Gateways) -> None:
    async with database.owner() as owner:
        await plant(owner, SPEC, 1, CONFIRMED, patient={"id": "p", "contact": {**EMAIL, "channels": "none"}})
        await plant(owner, SPEC, 2, CONFIRMED, patient={"id": "q"})
    async with notify(database, post) as at_work:
        await at_work.take()
        assert await at_work.rows() == []


async def test_what_cannot_be_planned_is_put_aside_alone(
    database: Database, fresh_kafka: Kafka, post: Gateways
) -> None:
    async with database.owner() as owner:
        await plant(owner, SPEC, 1, CONFIRMED, patient={"contact": "no patient of ours"})
        await plant(owner, SPEC, 2, CONFIRMED, patient={"id": "p", "contact": EMAIL})
        events = await owner.fetch("SELECT record FROM appointment_events WHERE event = 'booking.confirmed'")
    async with running(Role.NOTIFY, settings_for(database, fresh_kafka, "notify", **post.settings)):
        records = [row["record"].encode() for row in events]
        await append(fresh_kafka, topics.BOOKING_EVENTS, 1, SPEC.clinic_id, *records)
        await post.sent(1)
    aside = await everything_in(fresh_kafka, topics.dead_letters_of(topics.BOOKING_EVENTS))
    assert len(aside) == 1


async def test_the_link_in_a_message_is_a_pass_for_that_booking(database: Database, post: Gateways) -> None:
    links = {"notify_public_url": "https://book.example/", "notify_link_secret": "x" * 32}
    sent = await told(database, post, CONFIRMED, EMAIL, **links)
    ref = sent.key.partition(":")[0]
    [found] = re.findall(r"https://book\.example/pass#(\S+)", sent.text)
    held = passes.read(["x" * 32], found, datetime.now(UTC))
    assert (held.booking_ref, held.generation) == (ref, 0)
    assert held.ends_at == IN_JULY + timedelta(days=7, minutes=30), "a week after it"
    assert sent.calendar is not None
    assert found not in str(Calendar.from_ical(sent.calendar).walk("VEVENT")[0]["description"]), "calendars are shared"


async def test_an_app_of_its_own_page_gets_the_pass_there(database: Database, post: Gateways) -> None:
    own = {"notify_booking_link": "https://app.example/b#{pass}", "notify_link_secret": "x" * 32}
    sent = await told(database, post, CONFIRMED, {"sms": "+491"}, **own)
    assert f"https://app.example/b#{sent.key.partition(':')[0]}." in sent.text


async def test_who_has_unsubscribed_gets_no_more_by_that_channel(database: Database, post: Gateways) -> None:
    contact = {**EMAIL, "sms": "+491"}
    links = {"notify_public_url": "https://book.example/", "notify_link_secret": "x" * 32}
    sent = await told(database, post, CONFIRMED, contact, **links)
    ref = sent.key.partition(":")[0]
    assert f"No more emails: https://book.example/v1/unsubscribe/{token_of('x' * 32, ref, 'email')}" in sent.text
    async with notify(database, post, **links) as at_work:
        async with database.owner() as owner:
            assert await unsubscribed.add(owner, ref, "email")
            assert await unsubscribed.add(owner, ref, "email")  # twice is once
            assert not await unsubscribed.add(owner, f"{SPEC.clinic_id}-NONE", "email")
            await plant(owner, SPEC, 2, CONFIRMED, patient={"id": "p", "contact": contact})
            await owner.execute("UPDATE notifications SET due_at = now(), next_attempt_at = now() WHERE state = 'due'")
        await at_work.take()
        async with at_work.sending():
            await post.sent(2)

            async def dropped() -> bool:
                return [row["last_error"] for row in await at_work.rows()].count("unsubscribed") == 2

            await until(dropped)  # what was planned before
    assert [each.channel for each in post.ledger.sent] == ["email", "sms"]
