"""Bookings that are long over, and archiving them without waiting for their time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.world import ClinicSpec
from tests.support.written import CONFIRMED, plant
from waiting_room.domain.appointment import EventType
from waiting_room.store import archiving
from waiting_room.store.journal import Booking
from waiting_room.store.pool import Connection

COMPLETED = (*CONFIRMED, EventType.ARRIVED, EventType.COMPLETED)
DAYS_AGO = 40
CHILDREN = """
INSERT INTO webhook_endpoints (endpoint_id, owner_kind, owner_id, url, events)
VALUES
    ('of-clinic', 'clinic', '0001', 'https://e.example', '{booking.confirmed}'),
    ('of-app', 'app', 'app', 'https://e.example', '{booking.confirmed}');
INSERT INTO webhook_deliveries
    (endpoint_id, clinic_id, seq, booking_ref, event, committed_at, state, delivered_at)
SELECT p.endpoint_id, e.clinic_id, e.seq, e.booking_ref, e.event, e.at, 'delivered', now()
FROM webhook_endpoints AS p, appointment_events AS e
WHERE e.booking_ref = $ref AND e.event = 'booking.confirmed';
INSERT INTO webhook_attempts (endpoint_id, clinic_id, seq, started_at, seconds, url, status, response)
SELECT endpoint_id, clinic_id, seq, now(), 1, 'https://e.example', 200, 'what it answered' FROM webhook_deliveries;
INSERT INTO reschedules
    (clinic_id, booking_ref, revision, key_hash, requested_at, ended_at, "by", outcome, reason)
VALUES ('0001', $ref, 2, sha256('x'), now(), now(), 'patient', 'refused', 'notice_passed');
INSERT INTO call_attempts (clinic_id, booking_ref, attempt, kind, revision, worker_id, lease_until, ended_at)
VALUES ('0001', $ref, 1, 'confirm', 1, 'w', now(), now());
INSERT INTO waitlist VALUES ('0001', $ref, 'consultation', NULL, now(), now() + interval '1 day');
INSERT INTO offers (
    offer_id, clinic_id, booking_ref, revision, group_id, to_all, provider_id, seat, start_at, end_at, busy_until,
    made_at, expires_at, ended_at, outcome
)
VALUES (
    $ref || '.2', '0001', $ref, 2, $ref || '.2', FALSE, '0001-1', 0, now(), now(), now(),
    now() - interval '2 hours', now() - interval '1 hour', now(), 'accepted'
);
INSERT INTO notifications
    (clinic_id, booking_ref, revision, kind, channel, state, due_at, next_attempt_at, ended_at)
VALUES ('0001', $ref, 1, 'confirmed', 'email', 'sent', now(), now(), now());
INSERT INTO pass_generations VALUES ('0001', $ref, 1)
"""
"""A row of each table that knows of a booking, of clinic 0001."""
OPEN = {
    "a call": "UPDATE call_attempts SET ended_at = NULL",
    "a wish for another time": """
        UPDATE reschedules
        SET
            ended_at = NULL, outcome = NULL, reason = NULL, provider_id = '0001-1', seat = 0, start_at = now(),
            end_at = now(), move_until = now()
    """,
    "an offer": "UPDATE offers SET ended_at = NULL, outcome = NULL",
    "a message": "UPDATE notifications SET state = 'due', ended_at = NULL",
    "a webhook": """
        UPDATE webhook_deliveries SET state = 'due', delivered_at = NULL, replays = 1 WHERE endpoint_id = 'of-app'
    """,
    "what relay has to publish": "UPDATE relay_cursors SET published_seq = published_seq - 1",
    "a place among its patient's": """
        INSERT INTO patient_claims
        VALUES ('0001', $ref, 'app', 'x', 0, 'demo', 'consultation', now(), FALSE, FALSE)
    """,
    "its patient's only one": """
        INSERT INTO patient_claims
        VALUES ('0001', $ref, 'app', 'x', NULL, 'demo', 'consultation', now(), TRUE, TRUE)
    """,
    "a dose that it has": """
        INSERT INTO stock_lots VALUES ('0001', 'flu', 'general', 'a', now(), 1, 1);
        INSERT INTO dose_claims VALUES ('0001', $ref, 'flu', 'general', 'a', 1, 'general')
    """,
    "a dose that it lacks": "INSERT INTO dose_shortages VALUES ('0001', $ref, 'flu', 1, 'general')",
    "a patient who is not sealed": "UPDATE appointments SET patient_id = 'anna'",
    "a time to come": "UPDATE appointments SET end_at = now() + interval '2 days'",
    "a new time": "UPDATE appointments SET moving_to = 3",
}
"""What is made open of a booking to which nothing else is left to do."""
PATIENT = {"id": "anna", "contact": {"email": "anna@patients.example"}}


def long_ago(hour: int = 9) -> datetime:
    """On the day DAYS_AGO days ago."""
    day = datetime.now(UTC).date() - timedelta(days=DAYS_AGO)
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


async def over(
    owner: Connection,
    spec: ClinicSpec,
    number: int,
    events: tuple[EventType, ...] = COMPLETED,
    *,
    patient: dict[str, Any] | None = None,
    **more: Any,
) -> Booking:
    """The ``number``-th booking of this clinic, of a time long ago, its events published. They happened just now."""
    start_at = long_ago() + timedelta(minutes=30 * number)
    since = start_at - timedelta(days=1)
    told = PATIENT if patient is None else patient
    booking = await plant(owner, spec, number, events, since=since, start_at=start_at, patient=told, **more)
    await publish(owner)
    return booking


async def publish(owner: Connection) -> None:
    """As relay does."""
    await owner.execute(
        "UPDATE relay_cursors AS r SET published_seq = c.last_seq FROM clinic_counters AS c "
        "WHERE r.clinic_id = c.clinic_id"
    )


async def archive(conn: Connection, clinic_id: str, refs: Sequence[str], *, days_ahead: int = 1) -> set[str]:
    """What sweep would archive of these in so many days."""
    before = datetime.now(UTC) + timedelta(days=days_ahead)
    for month in {(long_ago() + timedelta(days=days)).date().replace(day=1) for days in range(0, 80, 20)}:
        await archiving.make_range(conn, month)
    async with conn.transaction():
        return set(await archiving.archive(conn, clinic_id, refs, before))
