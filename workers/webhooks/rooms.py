"""How many deliveries each endpoint may have in flight: pure. An endpoint that fails is asked one at a time."""

from __future__ import annotations

from collections import Counter


class Rooms:
    """Counts what one sender has in flight."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._in_flight: Counter[str] = Counter()
        self._failing: set[str] = set()

    @property
    def most(self) -> int:
        """Room of an endpoint that is not in ``left``."""
        return self._most

    def took(self, endpoint_id: str) -> None:
        self._in_flight[endpoint_id] += 1

    def ended(self, endpoint_id: str, *, well: bool) -> None:
        """One of its deliveries is over; ``well``: the endpoint said yes."""
        self._in_flight[endpoint_id] -= 1
        if not self._in_flight[endpoint_id]:
            del self._in_flight[endpoint_id]
        if well:
            self._failing.discard(endpoint_id)
        else:
            self._failing.add(endpoint_id)

    def left(self) -> dict[str, int]:
        """What every endpoint that is busy or failing may get now."""
        return {
            endpoint_id: max((1 if endpoint_id in self._failing else self._most) - self._in_flight[endpoint_id], 0)
            for endpoint_id in {*self._in_flight, *self._failing}
        }
