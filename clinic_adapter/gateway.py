"""What every clinic system must be able to do for us, whatever it speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from waiting_room.domain.clinic_call import Booked, NotThere
from waiting_room.domain.clinic_changes import Changes
from waiting_room.messages import Patient

Check = Callable[[], None]
"""Called at the last moment before a request's first byte is written. Raises LeaseLost if it must not be sent."""


@dataclass(frozen=True, slots=True)
class Call:
    """A booking as its clinic is told of it. Times are aware."""

    booking_ref: str
    revision: int
    provider_id: str
    seat: int
    service_type: str
    start_at: datetime
    end_at: datetime
    patient: Patient


class Gateway(Protocol):
    """One clinic's system. Safe to use from many tasks at once; every method is one call with one deadline.

    A booking is known to the clinic by (booking_ref, revision): where the clinic honours idempotency, confirming
    the same pair twice makes one booking. After ClinicUnavailable and LeaseLost nothing was done; after
    ClinicOutcomeUnknown, or if the task is cancelled, the call may have taken effect or still may.
    """

    async def confirm(self, call: Call, check: Check) -> Booked:
        """Have the clinic book. Raises ClinicError, LeaseLost."""
        ...

    async def move(self, call: Call, check: Check) -> Booked:
        """Have the clinic put a booking it has at another time, which has a newer revision; it lets go of the time it
        had when it accepts, and keeps it when it refuses. Raises ClinicError, LeaseLost.
        """
        ...

    async def look_up(self, booking_ref: str, revision: int, check: Check) -> Booked | NotThere:
        """Ask what the clinic holds; changes nothing.

        Raises ClinicUnavailable whenever there is no answer that counts, ClinicCannotLookUp, LeaseLost.
        """
        ...

    async def withdraw(self, booking_ref: str, revision: int, check: Check) -> None:
        """Have the clinic take the booking back; returns when it has, or never had it. May be repeated.

        Raises ClinicError, LeaseLost.
        """
        ...

    async def changes(self, after: str | None) -> Changes | None:
        """Ask what has happened there beside us since the cursor ``after``, or for all there is; changes nothing.

        None where the clinic does not know that cursor any more. Raises ClinicUnavailable.
        """
        ...
