"""Which clinics have series of their own: those that matter now, so that ten thousand clinics cost what fifty do.

A process shows at most CLINICS_SHOWN: half its room is for clinics that are down, half for the heaviest others, and
what one half leaves the other takes. Totals and quantiles over all clinics stand beside them. A clinic that is shown
stays until another is heavier by a quarter: series that come and go cost Prometheus more than those that stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from heapq import nlargest

from prometheus_client import Gauge

CLINICS_SHOWN = 50
STAYS = 1.25
QUANTILES = (0.5, 0.9, 0.99, 1.0)


class Shown:
    """The choice of one process, made anew from time to time."""

    def __init__(self, room: int = CLINICS_SHOWN) -> None:
        self._room = room
        self._chosen: frozenset[str] = frozenset()

    def choose(self, weights: Mapping[str, float], down: Collection[str] = ()) -> frozenset[str]:
        """The clinics to show. ``weights``: more than 0 for those that matter, as their line or their wait."""

        def heaviness(clinic_id: str) -> float:
            return weights.get(clinic_id, 0.0) * (STAYS if clinic_id in self._chosen else 1.0)

        up = [clinic_id for clinic_id, weight in weights.items() if weight > 0 and clinic_id not in down]
        room_down = max(self._room // 2, self._room - len(up))
        chosen = nlargest(room_down, sorted(down), key=heaviness)
        chosen += nlargest(self._room - len(chosen), up, key=heaviness)
        self._chosen = frozenset(chosen)
        return self._chosen


def show(gauge: Gauge, values: Mapping[str, float], told: Collection[str]) -> None:
    """Have ``gauge`` show these clinics; ``told`` are those it showed before."""
    for clinic_id in told:
        if clinic_id not in values:
            gauge.remove(clinic_id)
    for clinic_id, value in values.items():
        gauge.labels(clinic_id).set(value)


def quantiles(values: Sequence[float]) -> dict[float, float]:
    """By quantile, the smallest value that so many are not above; 0 where there are none."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {q: ordered[min(int(q * len(ordered)), last)] if ordered else 0.0 for q in QUANTILES}
