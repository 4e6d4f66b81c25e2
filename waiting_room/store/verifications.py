"""What was found out about patients' right to what they have booked, stored in batches under their clinics' locks.

Any number of workers may have asked for one booking: the first answer that is stored counts, and what comes after it
finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from waiting_room.domain.clinic_call import ClinicSystem
from waiting_room.domain.eligibility import Finding, resolve
from waiting_room.store import sql
from waiting_room.store.calls import Key, Lines
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.pool import Connection

_SQL = sql.load("verifications")


@dataclass(frozen=True, slots=True)
class Found:
    """What asking came to for one booking. ``again_seconds``: the pause before it is asked again, should it wait."""

    key: Key
    finding: Finding
    again_seconds: float


@dataclass(frozen=True, slots=True)
class Verified:
    """``again_seconds`` None: nothing is left to ask. ``decided``: this finding decided the booking."""

    booking: Booking
    again_seconds: float | None
    decided: bool


async def record(
    conn: Connection, found: Sequence[Found], systems: Mapping[str, ClinicSystem]
) -> tuple[dict[Key, Verified], Lines]:
    """Store findings, at most one a booking, inside the caller's transaction. Raises KeyError for an unknown clinic or
    booking.
    """
    journal = await Journal.open(conn, {each.key[0] for each in found})
    bookings = await journal.load([each.key for each in found])
    verified: dict[Key, Verified] = {}
    waiting: list[Key] = []
    for each in found:
        booking, system = bookings[each.key], systems[each.key[0]]
        undecided = not booking.known_state.decided
        verification = resolve(
            booking.known_state,
            each.finding,
            system.asks_for(booking.service_type),
            system.adapter,
            journal.now,
            each.again_seconds,
        )
        for change in verification.changes:
            journal.record(booking, change.event, reason=change.reason, by=change.by)
        if verification.changes or verification.again_at is not None:
            booking.next_attempt_at = verification.again_at
            journal.touch(booking)
        if verification.again_at is not None:
            waiting.append(booking.key)
        again_seconds = None if verification.again_at is None else each.again_seconds
        verified[each.key] = Verified(booking, again_seconds, undecided and booking.known_state.decided)
    await journal.write()
    if waiting:
        await conn.execute(_SQL["wait_longer"], *zip(*waiting, strict=True))
    lines = {clinic_id: (each.last_seq, each.line) for clinic_id, each in journal.counters.items()}
    return verified, lines
