"""A clinic's own appointment book, and the truth an audit compares against. Pure: time is given, events go
out.

State is what the events say: the same `apply` runs when something happens and when a restarted clinic reads
its journal, so what an audit sees does not depend on whether the simulator was killed in between.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Moment = Annotated[datetime, Meta(tz=True)]


class Patient(msgspec.Struct, gc=False):
    id: str
    contact: Any = None
    locale: str | None = None


class BookingRequest(msgspec.Struct, gc=False):
    """The body of POST /bookings."""

    booking_ref: str
    revision: Annotated[int, Meta(ge=0)]
    provider_id: str
    seat: Annotated[int, Meta(ge=0)]
    service_type: str
    start_at: Moment
    end_at: Moment
    patient: Patient


class Accepted(msgspec.Struct, frozen=True, gc=False, tag_field="event", tag="accepted"):
    """A booking was made: the first for its ref and revision, or one more."""

    clinic_id: str
    booking_ref: str
    revision: int
    clinic_booking_id: str
    provider_id: str
    seat: int
    start_at: datetime
    end_at: datetime
    accepted_at: datetime


class Withdrawn(msgspec.Struct, frozen=True, gc=False, tag_field="event", tag="withdrawn"):
    """Every booking of the ref up to and including `revision` (null: of any revision) was taken back."""

    clinic_id: str
    booking_ref: str
    revision: int | None
    withdrawn_at: datetime


Event = Accepted | Withdrawn


class Record(msgspec.Struct, gc=False):
    """What the clinic holds for one ref and revision.

    `times_accepted` counts the separate bookings made for it: 1 is right, more is a duplicate.
    `replaced_at`: when a newer revision moved it. A record that is neither withdrawn nor replaced is
    effective.
    """

    clinic_id: str
    booking_ref: str
    revision: int
    clinic_booking_id: str  # of the latest, if there are several
    provider_id: str
    seat: int
    start_at: datetime
    end_at: datetime
    accepted_at: datetime
    withdrawn_at: datetime | None = None
    replaced_at: datetime | None = None
    times_accepted: int = 1

    @property
    def effective_bookings(self) -> int:
        return 0 if self.withdrawn_at or self.replaced_at else self.times_accepted


class SupersededError(Exception):
    """The clinic holds a newer revision of this ref."""


class Books:
    """All bookings of one clinic. `remember` stores an event for good; if it raises, nothing has happened."""

    def __init__(self, clinic_id: str, remember: Callable[[Event], None]) -> None:
        self._clinic_id = clinic_id
        self._remember = remember
        self._by_ref: dict[str, tuple[Record, ...]] = {}  # oldest revision first
        self._made = 0

    def book(self, request: BookingRequest, at: datetime) -> Record:
        """Make a booking, again if there is one already; a newer revision replaces the older ones.

        Raises SupersededError if a newer revision is held: a straggler must not undo a move.
        """
        held = self._by_ref.get(request.booking_ref, ())
        if held and held[-1].revision > request.revision:
            raise SupersededError
        event = Accepted(
            self._clinic_id,
            request.booking_ref,
            request.revision,
            f"{self._clinic_id}-{self._made + 1}",
            request.provider_id,
            request.seat,
            request.start_at,
            request.end_at,
            at,
        )
        self._remember(event)
        return self._apply_accepted(event)

    def withdraw(self, booking_ref: str, revision: int | None, at: datetime) -> bool:
        """Take back every booking of the ref up to `revision` (None: any); once done, again is no change.

        False if the ref is unknown. Raises SupersededError if only newer revisions are held.
        """
        held = self._by_ref.get(booking_ref, ())
        if not held:
            return False
        reached = [r for r in held if revision is None or r.revision <= revision]
        if not reached:
            raise SupersededError
        if any(r.withdrawn_at is None for r in reached):
            event = Withdrawn(self._clinic_id, booking_ref, revision, at)
            self._remember(event)
            self.apply(event)
        return True

    def newest(self, booking_ref: str) -> Record | None:
        held = self._by_ref.get(booking_ref)
        return held[-1] if held else None

    def find(self, booking_ref: str, revision: int) -> Record | None:
        for record in self._by_ref.get(booking_ref, ()):
            if record.revision == revision:
                return record
        return None

    def records(self) -> Iterator[Record]:
        for held in self._by_ref.values():
            yield from held

    def __len__(self) -> int:
        """Bookings ever made, duplicates included."""
        return self._made

    def apply(self, event: Event) -> None:
        """Take up an event that happened, now or before a restart."""
        if isinstance(event, Accepted):
            self._apply_accepted(event)
            return
        for record in self._by_ref.get(event.booking_ref, ()):
            within = event.revision is None or record.revision <= event.revision
            if within and record.withdrawn_at is None:
                record.withdrawn_at = event.withdrawn_at

    def _apply_accepted(self, event: Accepted) -> Record:
        self._made += 1
        held = self._by_ref.get(event.booking_ref, ())
        if held and held[-1].revision == event.revision:
            again = held[-1]
            again.times_accepted += 1
            again.clinic_booking_id = event.clinic_booking_id
            again.withdrawn_at = None
            return again
        for record in held:
            if record.effective_bookings:
                record.replaced_at = event.accepted_at
        made = Record(
            event.clinic_id,
            event.booking_ref,
            event.revision,
            event.clinic_booking_id,
            event.provider_id,
            event.seat,
            event.start_at,
            event.end_at,
            event.accepted_at,
        )
        self._by_ref[event.booking_ref] = (*held, made)
        return made
