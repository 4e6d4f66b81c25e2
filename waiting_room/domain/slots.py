"""A provider's day as patients see it: each start with what is left of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import msgspec

from waiting_room.domain.seats import Candidate, Taken


class SlotStatus(StrEnum):
    """FHIR R4 Slot.status. Tentative: others hold it and their clinic has not decided yet; it may come free.
    Unavailable: a seat is free, but not what the service consumes.
    """

    FREE = "free"
    BUSY_TENTATIVE = "busy-tentative"
    BUSY = "busy"
    BUSY_UNAVAILABLE = "busy-unavailable"


class Slot(msgspec.Struct, frozen=True, gc=False):
    """A start that the rules allow."""

    start_at: datetime
    end_at: datetime
    status: SlotStatus
    free_seats: int


def out_of_stock(slots: Iterable[Slot]) -> tuple[Slot, ...]:
    """The same, where nothing is left for whoever would come."""
    return tuple(
        Slot(each.start_at, each.end_at, SlotStatus.BUSY_UNAVAILABLE, 0) if each.status is SlotStatus.FREE else each
        for each in slots
    )


@dataclass(slots=True)
class DayTaken:
    """What is taken of one provider's day; ``firm`` leaves out what is not decided."""

    provider_id: str
    all: Taken = field(default_factory=Taken)
    firm: Taken = field(default_factory=Taken)

    def claim(self, seat: int, start: datetime, until: datetime, *, tentative: bool) -> None:
        self.all.add(self.provider_id, seat, start, until)
        if not tentative:
            self.firm.add(self.provider_id, seat, start, until)

    def block(self, start: datetime, until: datetime, seats: int | None) -> None:
        self.all.block(self.provider_id, start, until, seats)
        self.firm.block(self.provider_id, start, until, seats)

    def slots(self, candidates: Iterable[Candidate]) -> tuple[Slot, ...]:
        """Each candidate with what is left of it."""
        if self.all.is_empty:
            return tuple(Slot(each.start_at, each.end_at, SlotStatus.FREE, each.capacity) for each in candidates)
        return tuple(self._slot(each) for each in candidates)

    def _slot(self, candidate: Candidate) -> Slot:
        free = sum(1 for _ in self.all.free_seats(candidate))
        if free:
            status = SlotStatus.FREE
        elif next(self.firm.free_seats(candidate), None) is not None:
            status = SlotStatus.BUSY_TENTATIVE
        else:
            status = SlotStatus.BUSY
        return Slot(candidate.start_at, candidate.end_at, status, free)
