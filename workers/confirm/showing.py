"""Series of their own for the clinics of this worker that matter now: the longest lines, and those that are down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import Gauge

from waiting_room.messages import ClinicPulse
from waiting_room.telemetry import metrics
from waiting_room.telemetry.shown import Shown, show

SHOW_EVERY_SECONDS = 2.0

_GAUGES: Final[tuple[tuple[Gauge, Callable[[ClinicPulse], float]], ...]] = (
    (metrics.CLINIC_LINE, lambda pulse: pulse.line),
    (metrics.CLINIC_LIMIT, lambda pulse: pulse.limit or 0),
    (metrics.CLINIC_IN_FLIGHT, lambda pulse: pulse.in_flight or 0),
    (metrics.CLINIC_CALL_MEAN, lambda pulse: pulse.call_seconds or 0.0),
    (metrics.CLINIC_BREAKER_OPEN, lambda pulse: pulse.breaker_open),
)


class Showing:
    """Told of every clinic at each look; changes what it shows every SHOW_EVERY_SECONDS."""

    def __init__(self) -> None:
        self._shown = Shown()
        self._told: frozenset[str] = frozenset()
        self._at = float("-inf")

    def look(self, clinics: Mapping[str, ClinicPulse], now: float) -> None:
        """``clinics``: how those stand that are ours. ``now``: monotonic seconds."""
        if now - self._at < SHOW_EVERY_SECONDS:
            return
        self._at = now
        down = {clinic_id for clinic_id, pulse in clinics.items() if pulse.breaker_open}
        weights = {clinic_id: pulse.line + (pulse.in_flight or 0) for clinic_id, pulse in clinics.items()}
        chosen = self._shown.choose(weights, down)
        for gauge, read in _GAUGES:
            show(gauge, {clinic_id: float(read(clinics[clinic_id])) for clinic_id in chosen}, self._told)
        self._told = chosen
