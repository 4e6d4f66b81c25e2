"""What is read of bookings to tell others: nothing is locked and nothing changes.

Those that are archived are found too. They are looked for last, and only where they can be: what is archived meanwhile
is found here or there, or both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from waiting_room.domain.appointment import By, Reason, Stage, Status
from waiting_room.domain.waitlist import Ended
from waiting_room.messages import BookingEvent, Reader
from waiting_room.store import archived, sql
from waiting_room.store.pool import Connection

_SQL = sql.load("bookings")
_YOUNGEST = timedelta(days=archived.YOUNGEST_DAYS)
_event: Reader[BookingEvent] = Reader(BookingEvent)


class WishRow(NamedTuple):
    """The last wish to move a booking; ``outcome`` None: its clinic has not said yet."""

    requested_at: datetime
    provider_id: str | None
    start_at: datetime | None
    end_at: datetime | None
    by: By
    outcome: Literal["rescheduled", "failed", "refused", "dropped"] | None
    reason: Reason | None


class WaitRow(NamedTuple):
    """What a booking waits for, or did, and the last seat it was offered; ``outcome`` None: it has not answered."""

    from_at: datetime
    to_at: datetime
    provider_id: str | None
    offer_id: str | None
    expires_at: datetime | None
    to_all: bool | None
    outcome: Ended | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingRow:
    """A booking and where it stands in its clinic's line; no patient data.

    ``asked_ref`` is the ref it was asked for by: another one where its key had made this booking already. ``seq`` is
    the clinic's newest event, ``line`` its undecided bookings and ``place`` this one's among them, or among those who
    wait for a seat for the same service, all of one instant; ``own_seq`` is the booking's newest event.
    """

    asked_ref: str
    clinic_id: str
    booking_ref: str
    app_id: str
    ticket: int | None
    status: Status
    stage: Stage | None
    reason: Reason | None
    by: By | None
    row_version: int
    provider_id: str | None
    service_type: str | None
    start_at: datetime | None
    end_at: datetime | None
    accepted_at: datetime
    decided_at: datetime | None
    timezone: str
    seq: int
    line: int
    own_seq: int
    place: int | None
    offer_accepted_at: datetime | None = None
    moved_by: By | None = None
    """Who wished for the time that it has, if it was moved; not of one that is archived."""
    wish: WishRow | None = None
    patient_erased_at: datetime | None = None
    wait: WaitRow | None = None
    archived: bool = False
    """Nothing happens to it any more."""

    @property
    def is_moved_by_clinic(self) -> bool:
        """Whether its clinic has chosen the time that it has, or is just moving it away."""
        wish_by = self.wish.by if self.wish is not None and self.wish.outcome is None else None
        return By.CLINIC in (self.moved_by, wish_by)

    @property
    def asked_at(self) -> datetime:
        """As ``Booking.asked_at``."""
        return self.offer_accepted_at or self.accepted_at


class Position(NamedTuple):
    """Where a page of a list ends: the value it is sorted by, and the ref among equals."""

    at: datetime
    booking_ref: str


async def bookings(conn: Connection, refs: Sequence[str]) -> list[BookingRow]:
    """Those of these canonical refs that exist, in this order."""
    found = [_booking(dict(row)) for row in await conn.fetch(_SQL["bookings"], refs)]
    if len(found) == len(refs):
        return found
    there = {each.asked_ref for each in found}
    rest = await archived.bookings(conn, [ref for ref in refs if ref not in there])
    order = {ref: number for number, ref in enumerate(refs)}
    return sorted([*found, *(_booking(dict(row)) for row in rest)], key=lambda each: order[each.asked_ref])


def _booking(row: dict[str, Any]) -> BookingRow:
    wish = WishRow(*(row.pop(f"wish_{name}") for name in WishRow._fields))
    if wish.by is not None:
        wish = wish._replace(by=By(wish.by), reason=Reason(wish.reason) if wish.reason else None)
    wait = WaitRow(*(row.pop(f"wait_{name}") for name in WaitRow._fields))
    if wait.outcome is not None:
        wait = wait._replace(outcome=Ended(wait.outcome))
    return BookingRow(
        **{
            **row,
            "status": Status(row["status"]),
            "stage": Stage(row["stage"]) if row["stage"] else None,
            "reason": Reason(row["reason"]) if row["reason"] else None,
            "by": By(row["by"]) if row["by"] else None,
            "moved_by": By(row["moved_by"]) if row.get("moved_by") else None,
            "wish": None if wish.requested_at is None else wish,
            "wait": None if wait.from_at is None else wait,
        }
    )


async def booking(conn: Connection, ref: str) -> BookingRow | None:
    """The booking this canonical ref leads to."""
    found = await bookings(conn, [ref])
    return found[0] if found else None


async def of_patient(
    conn: Connection, app_id: str, patient_id: str, after: Position | None, limit: int
) -> list[Position]:
    """At most ``limit`` bookings of this app's patient, by their tag, newest first; positions are when they were
    accepted.
    """
    at, ref = after or (None, None)
    rows = await conn.fetch(_SQL["of_patient"], app_id, patient_id, at, ref, limit)
    found = [Position(row["position"], row["booking_ref"]) for row in rows]
    reach = found[-1].at if len(found) == limit else None
    if reach is not None and reach > datetime.now(UTC) - _YOUNGEST:
        return found
    old = await archived.of_patient(conn, app_id, patient_id, after, limit, reach)
    return sorted({*found, *(Position(*each) for each in old)}, reverse=True)[:limit]


async def of_day(
    conn: Connection, clinic_id: str, from_at: datetime, to_at: datetime, after: Position | None, limit: int
) -> list[Position]:
    """At most ``limit`` of the clinic's bookings that start in [from_at, to_at), earliest first."""
    at, ref = after or (None, None)
    rows = await conn.fetch(_SQL["of_day"], clinic_id, from_at, to_at, at, ref, limit)
    found = [Position(row["position"], row["booking_ref"]) for row in rows]
    if from_at > datetime.now(UTC) - _YOUNGEST:
        return found
    old = await archived.of_day(conn, clinic_id, from_at, to_at, after, limit)
    return sorted({*found, *(Position(*each) for each in old)})[:limit]


async def history(conn: Connection, clinic_id: str, booking_ref: str) -> list[BookingEvent]:
    """All events of a booking, oldest first. Raises Unreadable."""
    records = [row["record"] for row in await conn.fetch(_SQL["history"], clinic_id, booking_ref)]
    records = records or await archived.history(conn, clinic_id, booking_ref)
    return [_event(record.encode()) for record in records]
