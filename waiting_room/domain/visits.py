"""When a clinic may say that a patient came, was seen or did not come, and when a patient may still cancel. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from waiting_room.domain.appointment import By, EventType, Status

EARLIEST: Final = timedelta(hours=12)
"""Nobody arrives, and nobody is seen, longer before the start."""
CHANGE_OF_MIND: Final = timedelta(hours=1)
"""For so long a booking made, or an offer accepted, inside its notice window may be taken back."""


def too_early(event: EventType, start_at: datetime, now: datetime) -> bool:
    """Whether it cannot have happened yet: nobody has failed to come before the start."""
    return now < (start_at if event is EventType.NO_SHOW else start_at - EARLIEST)


def too_late_to_cancel(
    *,
    by: By,
    status: Status,
    start_at: datetime,
    chosen_at: datetime,
    moved_by_clinic: bool,
    notice: timedelta,
    asked_at: datetime,
) -> bool:
    """Whether the notice window has closed. It binds patients only, once the clinic has confirmed, and to a time that
    they have chosen: one that their clinic has moved them to may be declined until it begins.
    """
    if by is not By.PATIENT or status is not Status.CONFIRMED:
        return False
    if moved_by_clinic:
        return asked_at >= start_at
    changed_their_mind = asked_at <= chosen_at + CHANGE_OF_MIND and asked_at < start_at
    return asked_at > start_at - notice and not changed_their_mind
