"""Which starts a booking shows to have no seat left. Pure."""

from __future__ import annotations

from waiting_room.domain.appointment import Reason
from waiting_room.domain.seats import Seat, Taken
from waiting_room.taken_marks import Start
from workers.hold.wishes import Bookable


def full_starts(plan: Bookable | Reason, got: Seat | Reason, taken: Taken) -> list[Start]:
    """That of the seat it got, if this was the last; or the one it came too late for. ``taken``: with its own seat."""
    if isinstance(got, Seat):
        candidate = got.candidate
        is_last = taken.first_free(candidate) is None
        return [(candidate.provider_id, candidate.start_at)] if is_last else []
    if got is Reason.SLOT_TAKEN and isinstance(plan, Bookable):
        return [(provider.provider_id, plan.from_at) for provider in plan.providers]
    return []
