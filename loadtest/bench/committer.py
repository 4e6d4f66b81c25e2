"""Commits confirmed bookings' events at a steady rate, as the Journal would: numbered by each clinic's locked row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

import asyncpg
import msgspec

from devstack.world import APP
from waiting_room.domain.appointment import EventType, Status
from waiting_room.messages import BookingEvent

EVERY_SECONDS = 0.025
_encode = msgspec.json.Encoder().encode


class Committer:
    """``committed``: (clinic_id, seq) to the moment, in seconds of the wall clock, at which its commit returned."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], clinics: Sequence[str], chance: Random) -> None:
        self._connection = connection
        self._clinics = clinics
        self._chance = chance
        self.committed: dict[tuple[str, int], float] = {}

    async def run(self, rate: float, seconds: float) -> None:
        """So many events a second for so long; a batch that comes late is made up for."""
        began, done = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            wanted = min(int(passed * rate) - done, len(self._clinics))
            if wanted > 0:
                await self._commit(self._chance.sample(self._clinics, wanted))
                done += wanted
            await asyncio.sleep(EVERY_SECONDS)

    async def _commit(self, clinics: Sequence[str]) -> None:
        async with self._connection.transaction():
            rows = await self._connection.fetch(_NEXT, sorted(clinics))
            at = datetime.now(UTC)
            events = [_event(clinic_id, seq, at) for clinic_id, seq in rows]
            await self._connection.copy_records_to_table(
                "appointment_events",
                columns=("clinic_id", "seq", "booking_ref", "event", "at", "record"),
                records=[
                    (each.clinic_id, each.seq, each.booking_ref, each.event, each.at, _encode(each).decode())
                    for each in events
                ],
            )
        now = time.time()
        self.committed.update({(each.clinic_id, each.seq): now for each in events})


_NEXT = """
UPDATE clinic_counters AS c
SET last_seq = c.last_seq + 1
FROM (SELECT clinic_id FROM clinic_counters WHERE clinic_id = any($1) ORDER BY clinic_id FOR UPDATE) AS l
WHERE c.clinic_id = l.clinic_id
RETURNING c.clinic_id, c.last_seq
"""


def _event(clinic_id: str, seq: int, at: datetime) -> BookingEvent:
    return BookingEvent(
        clinic_id=clinic_id,
        seq=seq,
        booking_ref=f"{clinic_id}-{seq:04d}-BNCH-BNCH-BNCH",
        app_id=APP,
        event=EventType.CONFIRMED,
        at=at,
        status=Status.CONFIRMED,
        row_version=3,
        revision=1,
        provider_id=f"{clinic_id}-1",
        service_type="consultation",
        start_at=at,
        end_at=at,
    )
