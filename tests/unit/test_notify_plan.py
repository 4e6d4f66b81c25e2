"""What an event has patients told, and by which channel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.patients import VAULT
from waiting_room.domain.appointment import By, EventType, Stage, Status
from waiting_room.domain.notifications import Channel, Reach, address_of, after, reach_of, still_true
from waiting_room.domain.quiet_hours import quiet_hours_of
from waiting_room.domain.reminders import leads_of
from waiting_room.messages import BookingEvent, Patient
from waiting_room.settings import Settings
from waiting_room.store.notifications import Subject
from workers.notify.plan import STALE, Rules, plan, rules_of

ALL = frozenset(Channel)
EVERYWHERE = {"email": "p@patients.example", "phone": "+491", "push": "token"}
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
START = NOW + timedelta(days=3)
RULES = Rules(ALL, leads_of(["24h", "1h"]), None)


def event(kind: EventType = EventType.CONFIRMED, status: Status = Status.CONFIRMED, **changes: Any) -> BookingEvent:
    values: dict[str, Any] = {
        "clinic_id": "0001",
        "seq": 3,
        "booking_ref": "0001-A",
        "app_id": "app",
        "event": kind,
        "at": NOW,
        "status": status,
        "row_version": 3,
        "revision": 1,
        "start_at": START,
    }
    return BookingEvent(**{**values, **changes})


def subject(contact: dict[str, str] | None = None, **changes: Any) -> Subject:
    key, wrapped = VAULT.new_key()
    sealed = key.seal(Patient(id="p", contact=EVERYWHERE if contact is None else contact))
    return Subject("0001", "0001-A", "confirmed", 1, START, sealed, wrapped, "Europe/Berlin", None)._replace(**changes)


def told(
    happened: BookingEvent, whose: Subject, *, rules: Rules = RULES, now: datetime = NOW
) -> list[tuple[str, str, datetime]]:
    patient = VAULT.open(whose.patient_key, whose.patient)
    assert patient is not None
    return [(each.kind, each.channel, each.due_at) for each in plan(happened, whose, patient, rules, now)]


def test_a_confirmation_is_told_at_once_and_reminded_of_later() -> None:
    assert told(event(), subject()) == [
        ("confirmed", "email", NOW),
        ("reminder-24h", "email", START - timedelta(hours=24)),
        ("reminder-1h", "email", START - timedelta(hours=1)),
    ]


def test_reminders_that_would_be_past_are_not_planned() -> None:
    soon = NOW + timedelta(hours=2)
    assert [kind for kind, _, _ in told(event(start_at=soon), subject(start_at=soon))] == ["confirmed", "reminder-1h"]


@pytest.mark.parametrize(("kind", "status"), [("REJECTED", "rejected"), ("CANCELLED", "cancelled")])
def test_what_did_not_come_about_is_told_and_not_reminded_of(kind: str, status: str) -> None:
    happened = event(EventType[kind], Status(status))
    assert told(happened, subject(status=status)) == [(status, "email", NOW)]


@pytest.mark.parametrize("kind", [EventType.RESCHEDULE_FAILED, EventType.RESCHEDULE_REFUSED])
def test_that_it_was_not_moved_is_told_each_time_to_who_asked(kind: EventType) -> None:
    assert told(event(kind, by=By.PATIENT), subject()) == [("not_moved-3", "email", NOW)]
    assert told(event(kind, by=By.PATIENT, seq=4), subject()) == [("not_moved-4", "email", NOW)]
    assert told(event(kind, by=By.CLINIC), subject()) == [], "the clinic's wish is none of the patient's"
    over = event(kind, Status.CANCELLED, by=By.PATIENT)
    assert told(over, subject(status="cancelled")) == [], "nothing stands any more"


def test_what_the_booking_has_moved_on_from_is_not_told() -> None:
    assert told(event(), subject(status="cancelled")) == []
    assert told(event(), subject(revision=2)) == []
    assert told(event(EventType.HELD, Status.PENDING, stage=Stage.HELD), subject(status="pending")) == []


def test_old_news_are_no_news_but_reminders_are_still_due() -> None:
    kinds = [kind for kind, _, _ in told(event(), subject(), now=NOW + STALE + timedelta(seconds=1))]
    assert kinds == ["reminder-24h", "reminder-1h"]


def test_quiet_hours_hold_back_what_makes_a_sound() -> None:
    night = Rules(ALL, (), quiet_hours_of("12:00-16:00"))  # 14:00 in Berlin
    assert told(event(), subject(), rules=night) == [("confirmed", "email", NOW)]
    by_sms = subject({"sms": "+491"})
    assert told(event(), by_sms, rules=night) == [("confirmed", "sms", NOW + timedelta(hours=2))]
    own = subject({"sms": "+491", "quiet_hours": "13:00-14:30"})
    assert told(event(), own, rules=night) == [("confirmed", "sms", NOW + timedelta(minutes=30))]


def test_service_types_may_have_leads_of_their_own() -> None:
    assert [kind for kind, _, _ in told(event(), subject(leads=["2d"]))] == ["confirmed", "reminder-2d"]
    assert [kind for kind, _, _ in told(event(), subject(leads=[]))] == ["confirmed"]


@pytest.mark.parametrize(
    ("contact", "channels"),
    [
        (None, ""),
        ({}, ""),
        (EVERYWHERE, "email sms push"),
        ({**EVERYWHERE, "channels": "push, sms"}, "push sms"),
        ({**EVERYWHERE, "channels": "none"}, ""),
        ({**EVERYWHERE, "channels": "pigeon,sms,sms"}, "sms"),
        ({"email": "p@patients.example", "channels": "push,email"}, "email"),
    ],
)
def test_patients_choose_their_channels(contact: dict[str, str] | None, channels: str) -> None:
    assert " ".join(reach_of(contact, ALL, None).channels) == channels


def test_only_channels_with_a_gateway_are_used() -> None:
    assert reach_of(EVERYWHERE, frozenset({Channel.PUSH}), None).channels == (Channel.PUSH,)
    assert rules_of(Settings()).gateways == frozenset()
    assert told(event(), subject(), rules=rules_of(Settings())) == []


def test_quiet_hours_that_cannot_be_read_count_as_not_said() -> None:
    usual = quiet_hours_of("22:00-07:00")
    assert reach_of({"quiet_hours": "at night"}, ALL, usual).quiet_hours == usual


def test_a_phone_number_will_do_for_an_sms_and_for_nothing_else() -> None:
    assert address_of({"phone": "+491"}, Channel.SMS) == "+491"
    assert address_of({"phone": "+491", "sms": "+492"}, Channel.SMS) == "+492"
    assert address_of({"phone": "+491"}, Channel.EMAIL) is None
    assert address_of(None, Channel.PUSH) is None


def test_the_next_channel_steps_in_until_there_is_none() -> None:
    reach = Reach((Channel.PUSH, Channel.SMS), None)
    assert after("push", reach) is Channel.SMS
    assert after("sms", reach) is None
    assert after("email", reach) is Channel.PUSH  # chosen no longer


def test_messages_hold_as_long_as_what_they_say_is_so() -> None:
    assert still_true("reminder-24h", 1, Status.CONFIRMED, 1)
    assert not still_true("reminder-24h", 1, Status.CONFIRMED, 2)
    assert not still_true("reminder-1h", 1, Status.CANCELLED, 1)
    assert not still_true("confirmed", 1, Status.CANCELLED, 1)
    assert still_true("cancelled", 1, Status.CANCELLED, 1)
    assert still_true("offered", 2, Status.WAITLISTED, 2)
    assert not still_true("offered", 2, Status.WAITLISTED, 3), "it was declined, or ran out"
    assert not still_true("offered", 2, Status.CONFIRMED, 2)
