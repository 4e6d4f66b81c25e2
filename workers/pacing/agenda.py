"""Which lanes could start a call now, in whose turn, and when to look at the others again."""

from __future__ import annotations

from heapq import heappop, heappush

from workers.pacing.lane import Lane
from workers.pacing.turns import Turns


class Agenda:
    """Told of a lane by ``look_at`` after anything about it has changed. ``now`` is monotonic seconds."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._alarms: list[tuple[float, str]] = []
        self._alarm_of: dict[str, float] = {}

    def look_at(self, lane: Lane, now: float) -> None:
        """Is it its turn, and if not, when is it to be asked again?"""
        if lane.ready(now):
            self._turns.add(lane)
            return
        self._turns.discard(lane)
        at = lane.wake_at(now)
        if at is None:
            self._alarm_of.pop(lane.clinic_id, None)
        elif self._alarm_of.get(lane.clinic_id) != at:
            self._alarm_of[lane.clinic_id] = at
            heappush(self._alarms, (at, lane.clinic_id))

    def forget(self, lane: Lane) -> None:
        """It is gone."""
        self._turns.discard(lane)
        self._alarm_of.pop(lane.clinic_id, None)

    def rung(self, now: float) -> list[str]:
        """Clinics whose lanes are to be looked at, since their time has come."""
        found = []
        while self._alarms and self._alarms[0][0] <= now:
            at, clinic_id = heappop(self._alarms)
            if self._alarm_of.get(clinic_id) == at:
                del self._alarm_of[clinic_id]
                found.append(clinic_id)
        return found

    def next(self) -> Lane | None:
        """The lane whose turn it is. It has none again until it is looked at."""
        return self._turns.pop()

    def waits_for_a_turn(self, lane: Lane) -> bool:
        """Whether it could start a call if the worker's budget allowed it."""
        return lane in self._turns

    def wake_at(self) -> float | None:
        """When the next alarm rings."""
        while self._alarms and self._alarm_of.get(self._alarms[0][1]) != self._alarms[0][0]:
            heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None
