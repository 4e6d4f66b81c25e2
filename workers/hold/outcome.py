"""What a batch that is committed leaves to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from waiting_room.domain.appointment import ClinicState, Status
from waiting_room.messages import Cancel
from waiting_room.store.journal import Booking
from workers.hold.read import Item


@dataclass(slots=True)
class Outcome:
    """What a committed batch leaves to do: ring for ``due`` bookings, those to be withdrawn first."""

    due: list[Booking] = field(default_factory=list)
    to_withdraw: list[Booking] = field(default_factory=list)
    decided: list[Booking] = field(default_factory=list)
    forwarded: list[Cancel] = field(default_factory=list)
    """Cancels by a ref that leads to another booking, perhaps of another clinic: to be appended there."""
    lines: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By clinic: (seq, line) after the batch."""
    waiting: list[Item] = field(default_factory=list)
    """Nothing was done for these: they wait for their clinics' last words in other partitions."""
    arrived: list[str] = field(default_factory=list)
    """Clinics whose last words were read: what waits for them may go on."""


def outcome_of(bookings: Iterable[Booking], forwarded: list[Cancel], lines: dict[str, tuple[int, int]]) -> Outcome:
    """Of these bookings, as the batch has left them."""
    outcome = Outcome(forwarded=forwarded, lines=lines)
    for booking in bookings:
        state = booking.known_state
        if state.clinic_state is ClinicState.WITHDRAWING:
            outcome.to_withdraw.append(booking)
        elif state.status is Status.PENDING:
            outcome.due.append(booking)
        else:
            outcome.decided.append(booking)
    return outcome
