"""What must be known to allot a batch's seats: every claim that could be in the way."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from waiting_room.domain.seats import Taken
from waiting_room.store import holds
from waiting_room.store.holds import Window
from waiting_room.store.pool import Connection


class Reach:
    """One window a provider, from the earliest that is asked about to the latest."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], tuple[datetime, datetime]] = {}

    def add(self, clinic_id: str, windows: Iterable[tuple[str, datetime, datetime]]) -> None:
        """(provider_id, from, to) at this clinic."""
        for provider_id, from_at, to_at in windows:
            had = self._windows.setdefault((clinic_id, provider_id), (from_at, to_at))
            self._windows[clinic_id, provider_id] = min(had[0], from_at), max(had[1], to_at)

    async def taken(self, conn: Connection) -> Taken:
        if not self._windows:
            return Taken()
        return await holds.taken(conn, [Window(*whose, *when) for whose, when in self._windows.items()])
