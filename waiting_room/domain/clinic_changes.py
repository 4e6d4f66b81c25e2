"""What has happened at a clinic beside us: bookings by phone, and bookings of ours that it cancelled. Pure.

A clinic's system tells it as a feed: all there is, and from then on what has changed since a cursor of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from waiting_room.domain.appointment import CANCELLABLE, By, ClinicState, Reason, State

SOURCE: Final = "clinic-system"
"""Of the busy times that are told so: what is told by API stands beside them."""
BUSY_MAX: Final = 20_000
"""A clinic's, at most: all its bookings by phone for as far ahead as it takes any."""

EntryId = Annotated[str, Meta(pattern=r"^[!-~]{1,128}$(?!\n)")]
Moment = Annotated[datetime, Meta(tz=True)]


class BusyThere(msgspec.Struct, frozen=True, kw_only=True, rename={"from_at": "from", "to_at": "to"}):
    """Time of a provider that the clinic has given away itself: so many seats, or all of them (None)."""

    busy_id: EntryId
    provider_id: str
    from_at: Moment
    to_at: Moment
    seats: Annotated[int, Meta(ge=1, le=1_000)] | None = None

    def __post_init__(self) -> None:
        if self.from_at >= self.to_at:
            raise ValueError("a busy time ends before it begins")


class CancelledThere(msgspec.Struct, frozen=True, kw_only=True):
    """A booking of ours that the clinic has no more: its patient has called, or it had to cancel itself."""

    booking_ref: str
    revision: int
    by: Literal["patient", "clinic"] = "clinic"

    @property
    def who(self) -> By:
        return By(self.by)

    @property
    def reason(self) -> Reason:
        return Reason.PATIENT if self.by == "patient" else Reason.PROVIDER


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """``busy`` are new or changed, ``gone`` the ids of those that are over or off. ``cursor``: where the next question
    begins; with ``more`` it is to be asked at once.
    """

    cursor: Annotated[str, Meta(min_length=1, max_length=1_024)]
    busy: tuple[BusyThere, ...] = ()
    gone: tuple[str, ...] = ()
    cancelled: tuple[CancelledThere, ...] = ()
    more: bool = False


def as_one(pages: Iterable[Changes]) -> Changes:
    """Several, one after the other, as one; of one busy time what was said last counts. Raises ValueError for none, and
    where there are more than anybody can have.
    """
    busy: dict[str, BusyThere] = {}
    gone: dict[str, None] = {}
    cancelled: list[CancelledThere] = []
    last: Changes | None = None
    for last in pages:
        for name in last.gone:
            busy.pop(name, None)
            gone[name] = None
        for each in last.busy:
            busy[each.busy_id] = each
        cancelled += last.cancelled
        if len(busy) > BUSY_MAX:
            raise ValueError(f"more than {BUSY_MAX} busy times")
    if last is None:
        raise ValueError("nothing was said")
    over = tuple(name for name in gone if name not in busy)
    return Changes(cursor=last.cursor, busy=tuple(busy.values()), gone=over, cancelled=tuple(cancelled), more=last.more)


def is_off(state: State, revision: int) -> bool:
    """Whether a booking is off that its clinic says it has no more. Not where it speaks of a time that the booking has
    left since. A later one than we know of is one that the clinic was asked for and whose outcome we never learnt: it
    took the place of the time that we believe in.
    """
    known_there = state.clinic_state in (ClinicState.CALLING, ClinicState.UNKNOWN, ClinicState.BOOKED)
    return state.status in CANCELLABLE and known_there and revision >= state.revision
