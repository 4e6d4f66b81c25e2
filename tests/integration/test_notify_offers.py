"""Patients who wait are told of the seat that is held for them, until when, and where to answer; never too late."""

from __future__ import annotations

from tests.support.commands import appended, book, cancel
from tests.support.database import Database
from tests.support.gateways import gateways
from tests.support.holding import Hold, seeded
from tests.support.notifying import notify
from tests.support.waiting import RUN_OUT, open_offers, wait
from tests.support.world import clinics, tomorrow
from waiting_room.messages import Patient

PAGE = "https://app.example/offers/{offer_id}?ref={booking_ref}&answer={answer}"


async def test_every_channel_and_language_says_how_to_answer(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    people = (
        Patient(id="a", contact={"email": "a@patients.example"}, locale="en"),
        Patient(id="b", contact={"sms": "+491"}, locale="de"),
        Patient(id="c", contact={"push": "token"}, locale="en"),
    )
    booked = [book(clinic, f"{n}", start_at=tomorrow(9 + n)) for n in range(3)]
    waiters = [wait(clinic, f"waits {n}", start_at=tomorrow(9 + n), patient=people[n]) for n in range(3)]
    await hold(appended(*booked, *waiters, *map(cancel, booked)))
    async with gateways() as post, notify(database, post, notify_offer_link=PAGE) as at_work:
        await at_work.take()
        async with at_work.sending():
            sent = {each.channel: each for each in await post.sent(3)}
    ids = {each.booking_ref: each.offer_id for each in await open_offers(database)}
    for command, channel in zip(waiters, ("email", "sms", "push"), strict=True):
        told, ref = sent[channel], command.booking_ref
        for answer in ("accept", "decline"):
            page = PAGE.format(offer_id=ids[ref], booking_ref=ref, answer=answer)
            assert page in " ".join(told.text.split()), told.text
        assert told.key == f"{ref}:2:offered:{channel}"
    assert "It is held for you until" in sent["email"].text
    assert "Für Sie frei gehalten bis" in sent["sms"].text
    assert sent["push"].subject is not None
    assert sent["push"].subject.startswith("A place has come free")


async def test_where_no_app_has_a_page_for_it_the_link_is_a_pass(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked = book(clinic, "booked")
    first = wait(clinic, "1", patient=Patient(id="a", contact={"email": "a@patients.example"}))
    await hold(appended(booked, first, cancel(booked)))
    links = {"notify_public_url": "https://book.example", "notify_link_secret": "x" * 32}
    async with gateways() as post, notify(database, post, **links) as at_work:
        await at_work.take()
        async with at_work.sending():
            [sent] = await post.sent(1)
    assert f"Accept or decline it: https://book.example/pass#{first.booking_ref}." in " ".join(sent.text.split())


async def test_a_message_that_would_come_too_late_is_not_sent(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    booked, first = book(clinic, "booked"), wait(clinic, "1", patient=Patient(id="a", contact={"sms": "+491"}))
    await hold(appended(booked, first, cancel(booked)))
    (offer,) = await open_offers(database)
    async with gateways() as post, notify(database, post) as at_work:
        await at_work.take()
        await at_work.change(RUN_OUT, offer.offer_id)
        async with at_work.sending():
            rows = await at_work.settled()
    told = [(row["kind"], row["state"], row["last_error"]) for row in rows if row["booking_ref"] == first.booking_ref]
    assert told == [("offered", "dropped", "too late")]
    assert not post.ledger.sent


async def test_who_leaves_is_not_told_of_an_appointment_they_never_had(database: Database, hold: Hold) -> None:
    (clinic,) = clinics(1)
    await seeded(database, [clinic])
    first = wait(clinic, "1", patient=Patient(id="a", contact={"sms": "+491"}))
    await hold(appended(book(clinic, "booked"), first, cancel(first, only_waiting=True)))
    async with gateways() as post, notify(database, post) as at_work:
        await at_work.take()
        assert await at_work.rows() == []
