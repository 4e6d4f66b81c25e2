"""Reminders on real servers: each once and in time, none of what was cancelled or moved, whatever dies meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loadtest.gateways.ledger import Tally
from tests.support.cli import waiting_room
from tests.support.database import Database
from tests.support.gateways import Gateways, gateways
from tests.support.log import until
from tests.support.notifying import Notify, key_of, notify
from tests.support.world import BUSINESS, SERVICE, clinics, seed
from tests.support.written import CONFIRMED, plant
from waiting_room.domain.appointment import By, EventType, Reason
from waiting_room.store import notifications
from waiting_room.store.journal import Booking, Journal
from workers.notify.sender import SILENCE_SECONDS

SPECS = clinics(30)
SPEC = SPECS[0]
BY_SMS = {"id": "p", "contact": {"sms": "+49301234"}}


@pytest.fixture
async def sms() -> AsyncIterator[Gateways]:
    async with gateways() as found:
        yield found


@pytest.fixture
async def at_work(database: Database, sms: Gateways) -> AsyncIterator[Notify]:
    """Reminders an hour ahead; news are told to nobody, to have reminders alone."""
    async with database.owner() as owner:
        await seed(owner, SPECS)
    async with notify(database, sms, notify_reminders="1h") as found:
        yield found


async def book(database: Database, number: int, starts_in: timedelta, patient: dict[str, Any] | None = None) -> Booking:
    """A booking at the ``number``-th clinic, confirmed two days ago, so that no news of it is told any more."""
    spec, start_at = SPECS[number - 1], datetime.now(UTC) + starts_in
    async with database.owner() as owner:
        booking = await plant(owner, spec, number, CONFIRMED, start_at=start_at, patient=patient or BY_SMS)
        await owner.execute("ALTER TABLE appointment_events DISABLE TRIGGER appointment_events_append_only")
        two_days_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
        await owner.execute(
            "UPDATE appointment_events SET record = jsonb_set(record::jsonb, '{at}', to_jsonb($1::text))", two_days_ago
        )
    return booking


async def cancel(database: Database, booking: Booking) -> None:
    async with database.owner() as owner, owner.transaction():
        journal = await Journal.open(owner, [booking.clinic_id])
        [current] = (await journal.load([booking.key])).values()
        journal.record(current, EventType.CANCELLED, reason=Reason.PATIENT, by=By.PATIENT)
        await journal.write()


SOON = timedelta(hours=1, seconds=1)
"""From now: its reminder is due in a second."""


async def test_an_event_read_again_plans_nothing_new(at_work: Notify) -> None:
    booking = await book(at_work.database, 1, timedelta(hours=30))
    await at_work.take()
    await at_work.take()
    [row] = await at_work.rows()
    assert booking.start_at is not None
    assert (row["kind"], row["channel"], row["state"]) == ("reminder-1h", "sms", "due")
    assert row["due_at"] == booking.start_at - timedelta(hours=1)


async def test_a_service_type_has_leads_of_its_own(at_work: Notify) -> None:
    await at_work.change("INSERT INTO reminder_leads VALUES ($1, $2, $3)", BUSINESS, SERVICE, ["2d", "30m"])
    booking = await book(at_work.database, 1, timedelta(days=5))
    await at_work.take()
    assert booking.start_at is not None
    assert [(row["kind"], booking.start_at - row["due_at"]) for row in await at_work.rows()] == [
        ("reminder-2d", timedelta(days=2)),
        ("reminder-30m", timedelta(minutes=30)),
    ]


async def test_each_is_sent_once_and_not_before_it_is_due_by_many_senders(at_work: Notify, sms: Gateways) -> None:
    for number in range(1, 31):
        await book(at_work.database, number, SOON + timedelta(milliseconds=20 * number))
    await at_work.take()
    async with AsyncExitStack() as senders:
        for _ in range(4):
            await senders.enter_async_context(at_work.sending())
        sent = await sms.sent(30)
        rows = await at_work.settled()
    assert {each.key for each in sent} == {f"{row['booking_ref']}:1:reminder-1h:sms" for row in rows}
    assert sms.ledger.tallies["sms"].repeats == 0
    due_at = {row["booking_ref"]: row["due_at"] for row in rows}
    assert all(each.at >= due_at[each.key.partition(":")[0]] for each in sent)
    assert all(row["state"] == "sent" and row["attempts"] == 1 for row in rows)


async def test_a_booking_cancelled_meanwhile_is_not_reminded_of(at_work: Notify, sms: Gateways) -> None:
    booking = await book(at_work.database, 1, SOON)
    await at_work.take()
    await cancel(at_work.database, booking)  # the event of it is still on its way
    async with at_work.sending():
        [row] = await at_work.settled()
    assert (row["state"], row["last_error"], row["attempts"]) == ("dropped", "overtaken", 0)
    assert sms.ledger.sent == []


async def test_a_booking_that_has_moved_is_reminded_of_at_its_new_time_only(at_work: Notify, sms: Gateways) -> None:
    booking = await book(at_work.database, 1, SOON)
    await at_work.take()
    moved_to = datetime.now(UTC) + timedelta(hours=3)
    await at_work.change("UPDATE appointments SET revision = 2, start_at = $1", moved_to)
    await at_work.change(
        "UPDATE appointment_events "
        "SET record = record::jsonb || jsonb_build_object('revision', 2, 'start_at', $1::text) "
        "WHERE event = 'booking.confirmed'",
        moved_to.isoformat(),
    )
    async with at_work.sending():
        await until(lambda: _has(at_work, "dropped", 1))
        await at_work.take()
        old, new = await at_work.rows()
    assert (old["revision"], old["state"], new["revision"], new["state"]) == (1, "dropped", 2, "due")
    assert new["due_at"] == moved_to - timedelta(hours=1)
    assert sms.ledger.sent == []
    assert booking.booking_ref == new["booking_ref"]


async def test_what_was_planned_for_a_cancelled_booking_does_not_wait_for_its_time(at_work: Notify) -> None:
    booking = await book(at_work.database, 1, timedelta(days=3))
    await at_work.take()
    await cancel(at_work.database, booking)
    await at_work.take()
    assert [(row["kind"], row["state"]) for row in await at_work.rows() if "reminder" in row["kind"]] == [
        ("reminder-1h", "dropped")
    ]


async def test_a_sender_that_dies_between_sending_and_noting_it_has_it_sent_once(
    at_work: Notify, sms: Gateways
) -> None:
    sms.mood("sms", delay=0.5)
    await book(at_work.database, 1, SOON)
    await at_work.take()
    async with at_work.sending() as first:
        await until(lambda: _asked(sms, 1))
        first.cancel()
    [row] = await at_work.rows()
    assert (row["state"], row["attempts"]) == ("due", 0)
    assert row["lease_until"] is not None
    await at_work.change("UPDATE notifications SET lease_until = now()")  # that much later
    async with at_work.sending():
        [row] = await at_work.settled()
    assert (row["state"], row["attempts"]) == ("sent", 1)
    tally = sms.ledger.tallies["sms"]
    assert (tally.asked, tally.sent, tally.repeats) == (2, 1, 1)


async def test_what_a_dead_sender_has_in_hand_goes_to_another_when_it_is_not_seen(
    at_work: Notify, sms: Gateways
) -> None:
    await book(at_work.database, 1, timedelta(hours=1, minutes=5))
    await at_work.take()
    async with at_work.sending() as first:
        await until(lambda: _in_hand(at_work))
        first.cancel()
    await at_work.change("UPDATE notifications SET due_at = now(), next_attempt_at = now()")  # that much later
    dead = (await at_work.rows())[0]["sender_id"]
    seen = "UPDATE notification_senders SET seen_at = now() + make_interval(secs => $1) WHERE sender_id = $2"
    await at_work.change(seen, 60.0, dead)
    free = await book(at_work.database, 2, SOON)
    await at_work.take()
    async with at_work.sending():
        [sent] = await sms.sent(1)
        assert sent.key.startswith(free.booking_ref), "the other is in the hand of one who lives, as far as is known"
        await at_work.change(seen, -SILENCE_SECONDS, dead)
        rows = await at_work.settled()
    assert [row["state"] for row in rows] == ["sent", "sent"]


async def test_a_sender_that_stops_in_order_leaves_nothing_in_hand(at_work: Notify) -> None:
    await book(at_work.database, 1, timedelta(hours=1, minutes=5))
    await at_work.take()
    async with at_work.sending():
        await until(lambda: _in_hand(at_work))
    [row] = await at_work.rows()
    assert (row["sender_id"], row["lease_until"], row["state"]) == (None, None, "due")


async def test_the_databases_clock_has_the_last_word(at_work: Notify) -> None:
    await book(at_work.database, 1, timedelta(hours=1, minutes=5))
    await at_work.take()
    [row] = await at_work.rows()
    async with at_work.pool.acquire() as conn:
        assert await notifications.claim(conn, "s", within_seconds=60, limit=9, silence_seconds=9) == []
        [mine] = await notifications.claim(conn, "s", within_seconds=600, limit=9, silence_seconds=9)
        assert (mine.key, mine.next_attempt_at) == (key_of(row), row["next_attempt_at"])
        assert await notifications.begin(conn, "s", [mine.key], lease_seconds=15) == []
        await notifications.let_go_of(conn, "s", [mine.key])
    [row] = await at_work.rows()
    assert (row["sender_id"], row["state"]) == (None, "due")


async def test_after_three_attempts_the_next_channel_steps_in(at_work: Notify, sms: Gateways) -> None:
    sms.mood("sms", failing=1)
    contact = {"phone": "+49301234", "email": "p@patients.example", "channels": "sms,email"}
    await book(at_work.database, 1, SOON, {"id": "p", "contact": contact})
    await at_work.take()
    async with at_work.sending():
        failed, stepped_in = await at_work.settled()
    assert (failed["channel"], failed["state"], failed["attempts"], failed["last_error"]) == (
        "sms", "failed", 3, "http 503",
    )  # fmt: skip
    assert (stepped_in["channel"], stepped_in["state"], stepped_in["due_at"]) == ("email", "sent", failed["due_at"])
    [sent] = sms.ledger.sent
    assert (sent.channel, sent.to) == ("email", "p@patients.example")


async def test_what_has_failed_is_listed_and_can_be_tried_again(at_work: Notify, sms: Gateways) -> None:
    sms.mood("sms", failing=1)
    booking = await book(at_work.database, 1, SOON)
    await at_work.take()
    async with at_work.sending():
        [row] = await at_work.settled()
        assert row["state"] == "failed"
        said = await waiting_room("notifications", "failed", database=at_work.database)
        assert said.status == 0
        [_, line] = said.out.splitlines()
        assert line.split()[1:] == [booking.booking_ref, "1", "reminder-1h", "sms", "3", "http", "503"]
        sms.mood("sms")
        said = await waiting_room("notifications", "retry", database=at_work.database)
        assert said.out == "1 messages will be sent\n"
        await sms.sent(1)


async def test_a_refusal_for_good_is_not_repeated(at_work: Notify, sms: Gateways) -> None:
    sms.mood("email", refusing=1)
    await book(at_work.database, 1, SOON, {"id": "p", "contact": {"email": "gone@patients.example"}})
    await at_work.take()
    async with at_work.sending():
        [row] = await at_work.settled()
    assert (row["state"], row["attempts"], row["last_error"]) == ("failed", 1, "smtp 550")


async def test_an_answer_that_was_lost_does_not_double_it_where_keys_are_honoured(
    at_work: Notify, sms: Gateways
) -> None:
    sms.mood("sms", lost=1)
    await book(at_work.database, 1, SOON)
    await at_work.take()
    async with at_work.sending():
        [row] = await at_work.settled()
    assert (row["state"], row["attempts"]) == ("sent", 2)
    tally = sms.ledger.tallies["sms"]
    assert (tally.sent, tally.doubled, tally.repeats) == (1, 0, 1)


async def test_what_ended_long_ago_is_forgotten(at_work: Notify, sms: Gateways) -> None:
    for number in (1, 2, 3):
        await book(at_work.database, number, timedelta(days=2))
    await at_work.take()
    old, recent, _ = [key_of(row) for row in await at_work.rows()]
    for key, days in ((old, 91), (recent, 89)):
        await at_work.change(
            "UPDATE notifications SET state = 'sent', ended_at = now() - make_interval(days => $1) "
            "WHERE booking_ref = $2",
            days,
            key.booking_ref,
        )
    async with at_work.sending():
        await until(lambda: _forgotten(at_work, 2))
    assert old not in [key_of(row) for row in await at_work.rows()]


async def test_who_comes_too_late_is_not_reminded(at_work: Notify, sms: Gateways) -> None:
    await book(at_work.database, 1, timedelta(minutes=1))
    await at_work.take()
    await at_work.change("UPDATE appointments SET start_at = now() - interval '1 second'")
    async with at_work.sending():
        [row] = await at_work.settled()
    assert (row["state"], row["last_error"]) == ("dropped", "too late")
    assert sms.ledger.sent == []


async def _forgotten(at_work: Notify, left: int) -> bool:
    return len(await at_work.rows()) == left


async def _has(at_work: Notify, state: str, count: int) -> bool:
    return [row["state"] for row in await at_work.rows()].count(state) >= count


async def _in_hand(at_work: Notify) -> bool:
    return any(row["sender_id"] is not None for row in await at_work.rows())


async def _asked(sms: Gateways, count: int) -> bool:
    tally: Tally = sms.ledger.tallies["sms"]
    return tally.asked >= count
