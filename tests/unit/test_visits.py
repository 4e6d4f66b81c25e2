"""When a clinic may say what became of an appointment, and until when its patient may cancel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from waiting_room.domain.appointment import By, EventType, Status
from waiting_room.domain.visits import too_early, too_late_to_cancel

START = datetime(2026, 11, 27, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("event", "before", "early"),
    [
        (EventType.ARRIVED, 13 * HOUR, True),
        (EventType.ARRIVED, 11 * HOUR, False),
        (EventType.COMPLETED, 13 * HOUR, True),
        (EventType.NO_SHOW, timedelta(seconds=1), True),
        (EventType.NO_SHOW, timedelta(0), False),
    ],
)
def test_nothing_is_said_of_what_cannot_have_happened(event: EventType, before: timedelta, early: bool) -> None:
    assert too_early(event, START, START - before) is early


@pytest.mark.parametrize(
    ("by", "status", "booked_before", "asked_before", "late"),
    [
        (By.PATIENT, Status.CONFIRMED, 100 * HOUR, 25 * HOUR, False),
        (By.PATIENT, Status.CONFIRMED, 100 * HOUR, 24 * HOUR, False),
        (By.PATIENT, Status.CONFIRMED, 100 * HOUR, 23 * HOUR, True),
        (By.PATIENT, Status.CONFIRMED, 100 * HOUR, -HOUR, True),
        (By.PATIENT, Status.PENDING, 100 * HOUR, 23 * HOUR, False),
        (By.CLINIC, Status.CONFIRMED, 100 * HOUR, 23 * HOUR, False),
        (By.PATIENT, Status.CONFIRMED, 5 * HOUR, 4.5 * HOUR, False),
        (By.PATIENT, Status.CONFIRMED, 5 * HOUR, 3.5 * HOUR, True),
        (By.PATIENT, Status.CONFIRMED, 0.5 * HOUR, -0.1 * HOUR, True),
    ],
)
def test_a_patient_cancels_in_time_or_thinks_better_of_it_at_once(
    by: By, status: Status, booked_before: timedelta, asked_before: timedelta, late: bool
) -> None:
    assert late is too_late_to_cancel(
        by=by,
        status=status,
        start_at=START,
        made_at=START - booked_before,
        moved_by_clinic=False,
        notice=24 * HOUR,
        asked_at=START - asked_before,
    )


@pytest.mark.parametrize(
    ("asked_before", "late"),
    [(23 * HOUR, False), (timedelta(seconds=1), False), (timedelta(0), True), (-HOUR, True)],
)
def test_a_time_that_the_clinic_chose_may_be_declined_until_it_begins(asked_before: timedelta, late: bool) -> None:
    assert late is too_late_to_cancel(
        by=By.PATIENT,
        status=Status.CONFIRMED,
        start_at=START,
        made_at=START - 100 * HOUR,
        moved_by_clinic=True,
        notice=24 * HOUR,
        asked_at=START - asked_before,
    )
