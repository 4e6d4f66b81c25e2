"""Which bookings no longer fit when a calendar has changed: told to the clinic, never dropped. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from waiting_room.domain.availability.expand import is_open
from waiting_room.domain.directory import Provider
from waiting_room.domain.schedule import calendar_of


class Why(StrEnum):
    """Closed: outside the hours, in a break, on a day off or under a block."""

    CLOSED = "closed"
    SEAT_GONE = "seat_gone"
    BUSY = "busy"


class Booked(msgspec.Struct, frozen=True):
    """A booking that wants its seat."""

    booking_ref: str
    status: str
    service_type: str | None
    start_at: datetime
    end_at: datetime
    seat: int


class Busy(msgspec.Struct, frozen=True, kw_only=True, rename={"from_at": "from", "to_at": "to"}):
    """What the clinic's own system says is taken: so many seats, or all of them (None)."""

    source: str
    busy_id: str
    from_at: datetime
    to_at: datetime
    seats: int | None = None


def unfit(
    provider: Provider, timezone: str, booked: Sequence[Booked], busy: Sequence[Busy]
) -> Iterator[tuple[Booked, Why]]:
    """Those that do not fit, in the order given. That a booking is off the grid of starts does not matter."""
    calendar = calendar_of(provider)
    for each in booked:
        if not is_open(calendar, timezone, each.start_at, each.end_at):
            yield each, Why.CLOSED
        elif each.seat >= provider.capacity:
            yield each, Why.SEAT_GONE
        elif not _has_room(provider, each, booked, busy):
            yield each, Why.BUSY


def _has_room(provider: Provider, one: Booked, booked: Sequence[Booked], busy: Sequence[Busy]) -> bool:
    """Whether the seats that are not busy are enough for all bookings that meet this one."""
    in_the_way = [each for each in busy if each.from_at < one.end_at and one.start_at < each.to_at]
    if not in_the_way:
        return True
    if any(each.seats is None for each in in_the_way):
        return False
    meeting = sum(each.start_at < one.end_at and one.start_at < each.end_at for each in booked)
    return meeting + sum(each.seats or 0 for each in in_the_way) <= provider.capacity
