"""Parts of what a clinic says as one, and which of our bookings are off by its word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from waiting_room.domain.appointment import ClinicState, Stage, State, Status
from waiting_room.domain.clinic_changes import BusyThere, CancelledThere, Changes, as_one, is_off

AT = datetime(2026, 11, 24, 9, tzinfo=UTC)


def busy(name: str, hours: int = 0) -> BusyThere:
    at = AT + timedelta(hours=hours)
    return BusyThere(busy_id=name, provider_id="dr", from_at=at, to_at=at + timedelta(minutes=30))


def test_of_one_busy_time_what_was_said_last_counts() -> None:
    first = Changes(cursor="1", busy=(busy("a"), busy("b")), gone=("c",), more=True)
    off = CancelledThere(booking_ref="ref", revision=1)
    second = Changes(cursor="2", busy=(busy("a", 2), busy("c")), gone=("b", "d"), cancelled=(off,))
    assert as_one([first, second]) == Changes(
        cursor="2", busy=(busy("a", 2), busy("c")), gone=("b", "d"), cancelled=(off,)
    )


def test_saying_nothing_is_not_an_answer() -> None:
    with pytest.raises(ValueError, match="nothing"):
        as_one([])


BOOKED = State(Status.CONFIRMED, None, revision=2, clinic_state=ClinicState.BOOKED)


@pytest.mark.parametrize(
    ("state", "revision", "off"),
    [
        (BOOKED, 2, True),
        (BOOKED, 1, False),  # it was at that time, and is at another now
        (BOOKED, 3, True),  # it was moved there, which we never learnt
        (State(Status.CONFIRMED, None, revision=2, moving_to=3, clinic_state=ClinicState.CALLING), 3, True),
        (State(Status.CONFIRMED, None, revision=2, moving_to=3, clinic_state=ClinicState.CALLING), 2, True),
        (State(Status.PENDING, Stage.CONFIRMING, revision=2, clinic_state=ClinicState.UNKNOWN), 2, True),
        (State(Status.PENDING, Stage.HELD, revision=2), 2, False),  # the clinic was not asked yet
        (State(Status.CANCELLED, None, revision=2, clinic_state=ClinicState.WITHDRAWING), 2, False),
        (State(Status.COMPLETED, None, revision=2, clinic_state=ClinicState.BOOKED), 2, False),
    ],
)
def test_what_the_clinic_speaks_of_is_the_booking_as_it_is(state: State, revision: int, off: bool) -> None:
    assert is_off(state, revision) is off
