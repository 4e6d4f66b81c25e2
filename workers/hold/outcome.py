"""What a batch leaves to be done once it is committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from waiting_room.domain.appointment import ClinicState, Status
from waiting_room.messages import Cancel, Closure, Reschedule, Shortage
from waiting_room.store.journal import Booking
from waiting_room.taken_marks import Start
from workers.hold.read import Item


@dataclass(slots=True)
class Outcome:
    """Ring for ``due`` bookings, those to be withdrawn first. ``now``: the batch's."""

    now: datetime
    due: list[Booking] = field(default_factory=list)
    to_withdraw: list[Booking] = field(default_factory=list)
    decided: list[Booking] = field(default_factory=list)
    forwarded: list[Cancel | Reschedule | Closure | Shortage] = field(default_factory=list)
    """To be appended: commands by a ref that leads to another booking, perhaps of another clinic, where that is; and a
    closure or a shortage that is not through yet."""
    lines: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By clinic: (seq, line) after the batch."""
    full: set[Start] = field(default_factory=set)
    """Starts that were seen to have no seat left."""
    waiting: list[Item] = field(default_factory=list)
    """Nothing was done for these: they wait for their clinics' last words in other partitions."""
    arrived: list[str] = field(default_factory=list)
    """Clinics whose last words were read: what waits for them may go on."""

    @property
    def just_decided(self) -> list[Booking]:
        """Without those that their commands found decided: they were counted when they were."""
        return [each for each in self.decided if each.decided_at is not None and each.decided_at >= self.now]

    def add(self, *bookings: Booking) -> None:
        """As they are when the batch is done."""
        for booking in bookings:
            state = booking.known_state
            if state.clinic_state is ClinicState.WITHDRAWING:
                self.to_withdraw.append(booking)
            elif state.status is Status.PENDING or state.moving_to is not None:
                self.due.append(booking)
            else:
                self.decided.append(booking)
