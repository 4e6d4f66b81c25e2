"""The words patients read: in their language, by the clinic's clock, for every kind and reason there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from icalendar import Calendar

from waiting_room.domain.appointment import Reason
from waiting_room.domain.notifications import KINDS
from waiting_room.notify_settings import LANGUAGES
from workers.notify.calendar_file import calendar_file
from workers.notify.words import Free, Matter, language_of, words

START = datetime(2026, 3, 29, 8, tzinfo=UTC)  # the day on which clocks are set ahead in Berlin
REF = "0001-AAAA-BBBB-CCCC-DDDD"


def matter(**changes: Any) -> Matter:
    values: dict[str, Any] = {
        "booking_ref": REF,
        "clinic": "Clinic am Markt",
        "provider": "Dr. Weber",
        "timezone": "Europe/Berlin",
        "start_at": START,
        "reason": None,
        "link": None,
        "now": START - timedelta(days=1),
    }
    return Matter(**{**values, **changes})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_said_in_every_language(kind: str, language: str) -> None:
    said = words(kind, language, matter(reason="slot_taken", link="https://app.example/b/1"))
    assert "10:00" in said.text
    assert REF in said.text
    assert "Clinic am Markt" in said.subject
    assert "\n" not in said.subject + said.short
    assert len(said.short) < 300
    assert words(kind, language, matter(start_at=None, provider=None)).text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words(reason: Reason, language: str) -> None:
    assert words("rejected", language, matter(reason=reason)).text != words("rejected", language, matter()).text


def test_dates_are_written_as_people_there_write_them() -> None:
    assert "Sunday, 29 March 2026, 10:00 (Europe/Berlin)" in words("confirmed", "en", matter()).text
    assert "Sonntag, 29. März 2026, 10:00 Uhr (Europe/Berlin)" in words("confirmed", "de", matter()).text


def test_today_and_tomorrow_are_the_clinics() -> None:
    late = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)  # half past eleven on Saturday evening in Berlin
    assert "is tomorrow" in words("reminder", "en", matter(now=late)).short
    assert "is today" in words("reminder", "en", matter(now=late + timedelta(hours=1))).short


def test_who_was_rejected_reads_what_else_is_free() -> None:
    free = (Free(START + timedelta(hours=1), "Dr. Klein", "Clinic am Markt", "Europe/Berlin"),)
    said = words("rejected", "de", matter(reason="slot_taken", alternatives=free))
    assert "- Sonntag, 29. März 2026, 11:00 Uhr, Dr. Klein, Clinic am Markt" in said.text


@pytest.mark.parametrize(("language", "step"), [("en", "Choose another time"), ("de", "eine andere Zeit")])
def test_who_was_cancelled_by_the_clinic_reads_why_and_what_to_do(language: str, step: str) -> None:
    said = words("cancelled", language, matter(reason=Reason.PROVIDER))
    own = words("cancelled", language, matter(reason=Reason.PATIENT))
    assert step in said.text
    assert step in said.short
    assert step not in own.text + own.short


@pytest.mark.parametrize(("language", "why"), [("en", "left in stock for a later day"), ("de", "nichts mehr vorrätig")])
def test_who_could_not_be_moved_for_want_of_a_dose_reads_so(language: str, why: str) -> None:
    said = words("cancelled", language, matter(reason=Reason.OUT_OF_STOCK))
    assert why in said.text
    assert why in said.short


def test_names_are_data_and_no_template() -> None:
    said = words("confirmed", "en", matter(clinic="{{ 7 * 7 }}\nBcc: x@example.org"))
    assert said.subject.startswith("Confirmed: {{ 7 * 7 }} Bcc:")


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de-AT", "de"), ("de", "de"), ("DE", "de"), ("en-US", "en"), ("fr-FR", "en"), (None, "en")],
)
def test_the_language_is_the_patients_if_we_have_it(locale: str | None, language: str) -> None:
    assert language_of(locale, "en") == language


def test_the_calendar_file_holds_the_appointment_in_the_clinics_zone() -> None:
    def file(**changes: Any) -> Any:
        values: dict[str, Any] = {
            "booking_ref": REF,
            "revision": 1,
            "start_at": START,
            "end_at": START + timedelta(minutes=30),
            "timezone": "Europe/Berlin",
            "summary": "Clinic",
            "place": "Clinic",
            "text": "a\nb, c; d",
            "cancelled": False,
            "made_at": START,
        }
        attachment = calendar_file(**{**values, **changes})
        return attachment.method, Calendar.from_ical(attachment.content)

    method, calendar = file()
    [event] = calendar.walk("VEVENT")
    assert (method, calendar["method"], event["status"]) == ("PUBLISH", "PUBLISH", "CONFIRMED")
    assert event["dtstart"].params["TZID"] == "Europe/Berlin"
    assert event["dtstart"].dt == START
    assert [zone["tzid"] for zone in calendar.walk("VTIMEZONE")] == ["Europe/Berlin"]
    method, moved = file(revision=2)
    _, gone = file(revision=2, cancelled=True)
    sequences = [each.walk("VEVENT")[0]["sequence"] for each in (calendar, moved, gone)]
    assert sequences == sorted(set(sequences))
    assert gone["method"] == "CANCEL"
    assert {each.walk("VEVENT")[0]["uid"] for each in (calendar, moved, gone)} == {f"{REF}@waiting-room"}
