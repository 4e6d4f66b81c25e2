"""When a clinic may say that a patient came, was seen or did not come, and when a patient may still cancel. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from waiting_room.domain.appointment import By, EventType, Status

EARLIEST: Final = timedelta(hours=12)
"""Nobody arrives, and nobody is seen, longer before the start."""
CHANGE_OF_MIND: Final = timedelta(hours=1)
"""For so long a booking made, or an offer accepted, inside its notice window may be taken back."""


def earliest(event: EventType, start_at: datetime) -> datetime:
    """From when on it can have happened: nobody has failed to come before the start."""
    return start_at if event is EventType.NO_SHOW else start_at - EARLIEST


def too_early(event: EventType, start_at: datetime, now: datetime) -> bool:
    """Whether it cannot have happened yet."""
    return now < earliest(event, start_at)


def too_late_to_cancel(
    *,
    by: By,
    status: Status,
    start_at: datetime,
    made_at: datetime,
    moved_by_clinic: bool,
    notice: timedelta,
    asked_at: datetime,
) -> bool:
    """Whether the notice window has closed. It binds patients only, and only once the clinic has confirmed.

    ``made_at``: when it was booked, or the seat was accepted that had been waited for. ``moved_by_clinic``: to the time
    that it is at, which its patient did not choose and may decline until then.
    """
    if by is not By.PATIENT or status is not Status.CONFIRMED:
        return False
    may_still = (moved_by_clinic or asked_at <= made_at + CHANGE_OF_MIND) and asked_at < start_at
    return asked_at > start_at - notice and not may_still
