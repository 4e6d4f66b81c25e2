"""How many deliveries each endpoint may have in flight: the limit and the breaker that pace clinics pace endpoints too.

Each endpoint's own best number is found by trying; one that fails again and again is asked by a probe now and then,
and while it is down nothing that waits for it spends an attempt. Pure; ``now`` is monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from workers.pacing.adaptive import AdaptiveLimit
from workers.pacing.breaker import Breaker
from workers.pacing.work import Verdict

FORGET_AFTER_SECONDS: Final = 600.0
"""An endpoint without deliveries for so long begins anew."""
PAUSE_MAX_SECONDS: Final = 3_600.0
"""An endpoint that asks to be left alone for longer is asked again after that."""
OF_OTHERS: Final = 1
"""Room of an endpoint nothing is known of: its first delivery tells."""


@dataclass(slots=True)
class Turn:
    """One delivery that has started."""

    in_flight: int
    """To its endpoint, this one included."""
    probe: bool


@dataclass(slots=True)
class _Pace:
    limit: AdaptiveLimit
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    paused_until: float = 0.0
    last_at: float = 0.0

    def room(self, now: float) -> int:
        if now < self.paused_until or not self.breaker.allows(now):
            return 0
        if self.breaker.open:
            return 1 if self.in_flight == 0 else 0
        return max(self.limit.allowed(now) - self.in_flight, 0)


class Paces:
    """Of one sender. ``ceiling``: the most that any endpoint gets at once."""

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._paces: dict[str, _Pace] = {}

    def took(self, endpoint_id: str, now: float) -> Turn:
        """A delivery to it starts."""
        pace = self._paces.get(endpoint_id)
        if pace is None:
            pace = self._paces[endpoint_id] = _Pace(AdaptiveLimit(self._ceiling))
        pace.in_flight += 1
        pace.last_at = now
        pace.limit.on_start(now, pace.in_flight)
        return Turn(pace.in_flight, pace.breaker.started())

    def ended(
        self, endpoint_id: str, turn: Turn, verdict: Verdict, now: float, *, seconds: float, pause_seconds: float = 0.0
    ) -> None:
        """The delivery is over. ``pause_seconds``: what the endpoint asked for (Retry-After)."""
        pace = self._paces[endpoint_id]
        pace.in_flight -= 1
        pace.last_at = now
        match verdict:
            case Verdict.ANSWERED:
                if pace.breaker.open:
                    pace.limit.on_recovery(now)
                pace.breaker.succeeded()
                pace.limit.on_success(now, turn.in_flight, seconds)
            case Verdict.OVERLOADED:
                pace.paused_until = max(pace.paused_until, now + min(pause_seconds, PAUSE_MAX_SECONDS))
                pace.limit.on_overload(now, turn.in_flight, pause_seconds or None)
                if turn.probe or pace.in_flight == 0:
                    pace.breaker.failed(now, probe=turn.probe)
            case Verdict.FAILED:
                pace.limit.on_failure(now, turn.in_flight)
                pace.breaker.failed(now, probe=turn.probe)
            case Verdict.NOT_ASKED:
                pace.breaker.said_nothing(probe=turn.probe)

    def left(self, now: float) -> dict[str, int]:
        """What each endpoint may get now, where that is not OF_OTHERS."""
        for endpoint_id in [
            name
            for name, pace in self._paces.items()
            if not pace.in_flight and now - pace.last_at > FORGET_AFTER_SECONDS and not pace.breaker.open
        ]:
            del self._paces[endpoint_id]
        rooms = {endpoint_id: pace.room(now) for endpoint_id, pace in self._paces.items()}
        return {endpoint_id: room for endpoint_id, room in rooms.items() if room != OF_OTHERS}

    def down(self) -> int:
        """Endpoints that are taken to be down."""
        return sum(pace.breaker.open for pace in self._paces.values())
