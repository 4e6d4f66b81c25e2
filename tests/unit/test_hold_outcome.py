"""What a batch leaves to be done and told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from waiting_room.domain.appointment import ClinicState, State, Status
from waiting_room.store.booking import Booking
from workers.hold.outcome import Outcome

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)


def confirmed(number: int, decided_at: datetime) -> Booking:
    state = State(Status.CONFIRMED, None, revision=1, clinic_state=ClinicState.BOOKED)
    return Booking(
        clinic_id="0001",
        booking_ref=f"0001-{number}",
        app_id="app",
        accepted_at=NOW,
        state=state,
        decided_at=decided_at,
    )


def test_what_a_command_finds_decided_is_not_told_of_again() -> None:
    before, now = confirmed(1, NOW - timedelta(seconds=1)), confirmed(2, NOW)
    outcome = Outcome(NOW)
    outcome.add(before, now)
    assert outcome.decided == [before, now]
    assert outcome.just_decided == [now]
