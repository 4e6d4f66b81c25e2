"""What a sender has in hand before it is due, and what time the database has: pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from heapq import heappop, heappush

from waiting_room.store.notifications import InHand, Key


class DatabaseClock:
    """What the database's clock shows, from what it last said and the seconds that have passed here since.

    Messages are due by the database's clock alone. A sender whose own clock is wrong or jumps is not early or late;
    if the database's clock jumps it is believed as soon as it is asked again.
    """

    def __init__(self) -> None:
        self._said: datetime | None = None
        self._at_seconds = 0.0

    def heard(self, said: datetime, seconds: float) -> None:
        """``seconds`` on a clock that never jumps, when the question was asked."""
        self._said, self._at_seconds = said, seconds

    def now(self, seconds: float) -> datetime:
        """Raises ValueError while it was never heard."""
        if self._said is None:
            raise ValueError("the database was not asked yet")
        return self._said + timedelta(seconds=seconds - self._at_seconds)


class Hand:
    """Messages in the order in which they are due."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, Key]] = []
        self._keys: set[Key] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, messages: Iterable[InHand]) -> None:
        for message in messages:
            if message.key not in self._keys:
                self._keys.add(message.key)
                heappush(self._heap, (message.next_attempt_at, message.key))

    def due(self, now: datetime, limit: int) -> list[Key]:
        """Take out at most ``limit`` that are due, those that are due longest first."""
        found: list[Key] = []
        while self._heap and len(found) < limit and self._heap[0][0] <= now:
            key = heappop(self._heap)[1]
            self._keys.discard(key)
            found.append(key)
        return found

    @property
    def next_at(self) -> datetime | None:
        """When the first of them is due."""
        return self._heap[0][0] if self._heap else None

    def clear(self) -> None:
        self._heap.clear()
        self._keys.clear()
