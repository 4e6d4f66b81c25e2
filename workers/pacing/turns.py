"""Whose turn it is when more clinics could start a call than the worker may make.

The clinic with the fewest calls in flight goes first, so that no clinic gets more than its share while others wait,
and what some do not need is lent to the others (max-min fairness). Of equals, the one that has waited longest.
"""

from __future__ import annotations

from workers.pacing.lane import Lane


class Turns:
    """Lanes that could start a call now. All operations take time in the order of the largest limit, at most."""

    def __init__(self) -> None:
        self._by_in_flight: list[dict[str, Lane]] = []
        self._filed_under: dict[str, int] = {}

    def __contains__(self, lane: Lane) -> bool:
        return lane.clinic_id in self._filed_under

    def add(self, lane: Lane) -> None:
        """This lane could start a call, with ``lane.in_flight`` under way."""
        if self._filed_under.get(lane.clinic_id) == lane.in_flight:
            return
        self.discard(lane)
        while len(self._by_in_flight) <= lane.in_flight:
            self._by_in_flight.append({})
        self._by_in_flight[lane.in_flight][lane.clinic_id] = lane
        self._filed_under[lane.clinic_id] = lane.in_flight

    def discard(self, lane: Lane) -> None:
        """This lane could not, or no longer."""
        filed_under = self._filed_under.pop(lane.clinic_id, None)
        if filed_under is not None:
            del self._by_in_flight[filed_under][lane.clinic_id]

    def pop(self) -> Lane | None:
        """The lane whose turn it is; None if there is none."""
        for lanes in self._by_in_flight:
            if lanes:
                lane = next(iter(lanes.values()))
                self.discard(lane)
                return lane
        return None
