"""What the demo looks at while it runs, twice a second: the database's counts and the clinics' pulses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

_COUNTS = """
SELECT
    count(*) FILTER (WHERE status = 'pending') AS pending,
    count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
    count(*) FILTER (WHERE status = 'rejected') AS rejected,
    count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE clinic_state IN ('calling', 'unknown', 'withdrawing')) AS at_clinic
FROM appointments
"""
_LINES = """
SELECT
    clinic_id,
    count(*) FILTER (WHERE status = 'pending') AS line,
    count(*) FILTER (WHERE clinic_state = 'calling') AS calling,
    count(*) FILTER (WHERE decided_at IS NOT NULL) AS decided,
    count(*) FILTER (WHERE decided_at > clock_timestamp() - interval '3 seconds') AS decided_lately,
    EXTRACT(EPOCH FROM clock_timestamp() - min(accepted_at) FILTER (WHERE status = 'pending'))::float AS oldest
FROM appointments
GROUP BY clinic_id
"""
_DELIVERIES = """
SELECT count(*) FILTER (WHERE state = 'delivered') AS delivered, count(*) AS asked FROM webhook_deliveries
"""
_TOLD = """
SELECT
    count(*) FILTER (WHERE n.state = 'sent') AS told,
    count(*) AS to_tell
FROM appointments AS a
LEFT JOIN notifications AS n
    ON
        a.clinic_id = n.clinic_id AND a.booking_ref = n.booking_ref
        AND a.revision = n.revision AND a.status = n.kind AND n.state = 'sent'
WHERE a.decided_at IS NOT NULL AND a.patient IS NOT NULL
"""
_UNPUBLISHED = """
SELECT coalesce(sum(c.last_seq - r.published_seq), 0)::int
FROM clinic_counters c INNER JOIN relay_cursors r USING (clinic_id)
"""


@dataclass(frozen=True)
class Line:
    """One clinic as of now; ``oldest_seconds`` is its longest wait so far, None when nobody waits."""

    line: int = 0
    calling: int = 0
    decided: int = 0
    decided_lately: int = 0
    oldest_seconds: float | None = None


@dataclass(frozen=True)
class Snapshot:
    pending: int = 0
    confirmed: int = 0
    rejected: int = 0
    cancelled: int = 0
    at_clinic: int = 0
    delivered: int = 0
    deliveries: int = 0
    told: int = 0
    to_tell: int = 0
    """Patients of decided bookings who want to be told what became of them, and of these those who were."""
    unpublished: int = 0
    lines: Mapping[str, Line] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.pending + self.confirmed + self.rejected + self.cancelled

    def settled(self, acknowledged: int) -> bool:
        """Nothing waits for anything any more."""
        busy = self.pending + self.at_clinic + self.unpublished
        untold = self.deliveries - self.delivered + self.to_tell - self.told
        return self.rows >= acknowledged and busy + untold == 0


async def look(connection: asyncpg.Connection[asyncpg.Record]) -> Snapshot:
    """One look; the audit role is enough for it."""
    counts: Any = await connection.fetchrow(_COUNTS)
    deliveries: Any = await connection.fetchrow(_DELIVERIES)
    told: Any = await connection.fetchrow(_TOLD)
    lines = {
        row["clinic_id"]: Line(row["line"], row["calling"], row["decided"], row["decided_lately"], row["oldest"])
        for row in await connection.fetch(_LINES)
    }
    return Snapshot(
        **counts,
        delivered=deliveries["delivered"],
        deliveries=deliveries["asked"],
        told=told["told"],
        to_tell=told["to_tell"],
        unpublished=await connection.fetchval(_UNPUBLISHED),
        lines=lines,
    )
