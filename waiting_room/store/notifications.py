"""Messages to patients: planned from events, taken in hand by senders, settled by what the gateways answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from waiting_room.domain.appointment import By, Reason, Status
from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("notifications")


class Key(NamedTuple):
    """What makes a message one and the same: sent once, however often it is tried."""

    clinic_id: str
    booking_ref: str
    revision: int
    kind: str
    channel: str


class Subject(NamedTuple):
    """A booking as it is now, for planning: its patient sealed, their key wrapped; ``leads`` of its service type, if it
    has its own.
    """

    clinic_id: str
    booking_ref: str
    status: str
    revision: int
    start_at: datetime | None
    patient: bytes
    patient_key: bytes | None
    timezone: str
    leads: list[str] | None
    unsubscribed: Sequence[str] = ()
    """Channels that its patient wants nothing by any more."""


class Planned(NamedTuple):
    clinic_id: str
    booking_ref: str
    revision: int
    kind: str
    channel: str
    due_at: datetime


class InHand(NamedTuple):
    """Ours to send once the database's clock says ``next_attempt_at``."""

    key: Key
    next_attempt_at: datetime


class Begun(NamedTuple):
    """A message that is being sent until ``lease_until``, and its booking as it was read for that.

    ``late_seconds``: since it was due. ``has_begun``: the appointment. ``patient`` is sealed, its key wrapped.
    ``offer_id`` and what follows: of the seat that it tells of, which may be ``offer_over``.
    """

    key: Key
    due_at: datetime
    attempts: int
    lease_until: datetime
    late_seconds: float
    status: Status
    revision_now: int
    reason: Reason | None
    by: By | None
    provider_id: str | None
    service_type: str | None
    start_at: datetime | None
    end_at: datetime | None
    has_begun: bool
    patient: bytes | None
    patient_key: bytes | None
    clinic_name: str
    timezone: str
    provider_name: str | None
    unsubscribed: Sequence[str] = ()
    offer_id: str | None = None
    offer_expires_at: datetime | None = None
    offer_to_all: bool = False
    offer_over: bool = False
    pass_generation: int = 0


class Settled(NamedTuple):
    """What became of a begun message. ``tried``: a gateway was asked. ``again_in_seconds`` goes with ``due``,
    ``next_channel``, which steps in, with ``failed``.
    """

    key: Key
    lease_until: datetime
    state: Literal["due", "sent", "failed", "dropped"]
    tried: bool = True
    again_in_seconds: float | None = None
    error: str | None = None
    next_channel: str | None = None
    next_in_seconds: float = 0.0


class Failed(NamedTuple):
    key: Key
    ended_at: datetime
    attempts: int
    last_error: str | None


class Told(NamedTuple):
    """A message as it is shown beside its booking."""

    revision: int
    kind: str
    channel: str
    state: Literal["due", "sent", "failed", "dropped"]
    due_at: datetime
    attempts: int
    ended_at: datetime | None
    last_error: str | None


async def subjects(conn: Connection, bookings: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Subject]:
    """Those of these (clinic_id, booking_ref) that exist and have a patient."""
    pairs = list(bookings)
    rows = await conn.fetch(_SQL["subjects"], [clinic for clinic, _ in pairs], [ref for _, ref in pairs])
    return {(row["clinic_id"], row["booking_ref"]): Subject(*row) for row in rows}


async def other_clinics(conn: Connection, clinic_id: str, service_type: str, limit: int) -> dict[str, str]:
    """Names, by id, of open clinics of the same business that offer this; those with the shortest lines."""
    rows = await conn.fetch(_SQL["other_clinics"], clinic_id, service_type, limit)
    return {row["clinic_id"]: row["name"] for row in rows}


async def enlist(conn: Connection, planned: Sequence[Planned]) -> int:
    """Store these messages, each once; how many are new."""
    done: str = await conn.execute(_SQL["enlist"], *zip(*planned, strict=True))
    return int(done.rpartition(" ")[2])


async def drop_overtaken(conn: Connection, bookings: Sequence[tuple[str, str]]) -> int:
    """Drop the reminders of these bookings that no longer hold; how many."""
    done: str = await conn.execute(_SQL["drop_overtaken"], *zip(*bookings, strict=True))
    return int(done.rpartition(" ")[2])


async def be_seen(conn: Connection, sender_id: str) -> datetime:
    """Say that this sender lives; the database's clock."""
    now: datetime = await conn.fetchval(_SQL["be_seen"], sender_id)
    return now


async def forget_senders(conn: Connection) -> None:
    """Those that have not been seen for long."""
    await conn.execute(_SQL["forget_senders"])


async def forget_ended(conn: Connection, *, older_than_days: int, limit: int) -> int:
    """Delete the oldest messages that ended so long ago; how many."""
    done: str = await conn.execute(_SQL["forget_ended"], older_than_days, limit)
    return int(done.rpartition(" ")[2])


async def claim(
    conn: Connection, sender_id: str, *, within_seconds: float, limit: int, silence_seconds: float
) -> list[InHand]:
    """Up to ``limit`` free messages that are due within that time, now in this sender's hands, in any order.

    Free is also what a sender has that was not seen for ``silence_seconds``.
    """
    rows = await conn.fetch(_SQL["claim"], sender_id, within_seconds, limit, silence_seconds)
    return [InHand(Key(*row[:5]), row["next_attempt_at"]) for row in rows]


async def begin(conn: Connection, sender_id: str, keys: Sequence[Key], *, lease_seconds: float) -> list[Begun]:
    """Those of these that are in this sender's hands and due by the database's clock, leased, their bookings read."""
    rows = await conn.fetch(_SQL["begin"], sender_id, *zip(*keys, strict=True), lease_seconds)
    return [
        Begun(
            key=Key(*row[:5]),
            due_at=row["due_at"],
            attempts=row["attempts"],
            lease_until=row["lease_until"],
            late_seconds=row["late_seconds"],
            status=Status(row["status"]),
            revision_now=row["revision_now"],
            reason=Reason(row["reason"]) if row["reason"] else None,
            by=By(row["by"]) if row["by"] else None,
            provider_id=row["provider_id"],
            service_type=row["service_type"],
            start_at=row["start_at"],
            end_at=row["end_at"],
            has_begun=row["has_begun"],
            patient=row["patient"],
            patient_key=row["patient_key"],
            clinic_name=row["clinic_name"],
            timezone=row["timezone"],
            provider_name=row["provider_name"],
            unsubscribed=row["unsubscribed"],
            offer_id=row["offer_id"],
            offer_expires_at=row["offer_expires_at"],
            offer_to_all=row["offer_to_all"],
            offer_over=row["offer_over"],
            pass_generation=row["pass_generation"],
        )
        for row in rows
    ]


async def record(conn: Connection, settled: Sequence[Settled]) -> None:
    """Store outcomes, and have next channels step in. Whose lease has gone to another counts only if it was sent."""
    rows = [(*each.key, *each[1:]) for each in settled]
    await conn.execute(_SQL["record"], *zip(*rows, strict=True))


async def let_go(conn: Connection, sender_id: str, *, within_seconds: float) -> None:
    """Let others have what this sender has in hand."""
    await conn.execute(_SQL["let_go"], sender_id, within_seconds)


async def let_go_of(conn: Connection, sender_id: str, keys: Sequence[Key]) -> None:
    """Of these, let others have what is still in this sender's hands."""
    await conn.execute(_SQL["let_go_of"], sender_id, *zip(*keys, strict=True))


async def not_sent(conn: Connection, begun: Sequence[Begun]) -> None:
    """Let others have at once what this sender began and did not send."""
    rows = [(*each.key, each.lease_until) for each in begun]
    await conn.execute(_SQL["not_sent"], *zip(*rows, strict=True))


async def failed(conn: Connection, since: timedelta) -> list[Failed]:
    """Messages that have failed in this last time, the latest first."""
    rows = await conn.fetch(_SQL["failed"], since)
    return [Failed(Key(*row[:5]), row["ended_at"], row["attempts"], row["last_error"]) for row in rows]


async def retry_failed(conn: Connection, since: timedelta) -> int:
    """Have those sent again by the last channel of each that failed; how many."""
    done: str = await conn.execute(_SQL["retry_failed"], since)
    return int(done.rpartition(" ")[2])


async def of_booking(conn: Connection, clinic_id: str, booking_ref: str) -> list[Told]:
    """All messages about a booking, in the order in which they are due."""
    return [Told(*row) for row in await conn.fetch(_SQL["of_booking"], clinic_id, booking_ref)]
