"""What /ops takes from /metrics pages: few samples of many, added up over all processes. Pure.

A whole page read by prometheus-client's own parser takes ten times as long, on the loop that takes bookings.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from itertools import pairwise

WINDOW_SECONDS = 300.0
_PREFIX = "waiting_room_"
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Key = tuple[str, frozenset[tuple[str, str]]]
"""A sample's name, and its labels."""
Samples = Counter[Key]


def key(name: str, **labels: str) -> Key:
    """As ``read`` counts it."""
    return _PREFIX + name, frozenset(labels.items())


def read(page: str) -> Samples:
    """Every sample of ours on this page, in Prometheus's text format. What cannot be read is left out."""
    found = Samples()
    for line in page.splitlines():
        if not line.startswith(_PREFIX):
            continue
        series, _, value = line.rpartition(" ")
        name, _, labels = series.partition("{")
        try:
            found[name, frozenset(_LABEL.findall(labels))] = float(value)  # type: ignore[assignment]
        except ValueError:
            continue
    return found


_SAID_BY_ALL = frozenset({f"{_PREFIX}{name}" for name in ("oldest_wait_seconds", "undecided", "clinics_waiting")})
"""Every sweep says the same of all lines."""


def together(pages: Iterable[Samples]) -> Samples:
    """Of all processes: what each says of its own is added up, what all say of the same is taken once."""
    found = Samples()
    for page in pages:
        for series, value in page.items():
            found[series] = max(found[series], value) if series[0] in _SAID_BY_ALL else found[series] + value
    return found


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """By upper bound how many were at most so large; None where nothing was observed. As Prometheus interpolates."""
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = q * buckets[bounds[-1]]
    for below, bound in pairwise([0.0, *bounds]):
        if buckets[bound] >= rank:
            before = buckets.get(below, 0.0)
            if bound == float("inf") or buckets[bound] == before:
                return below
            return below + (bound - below) * (rank - before) / (buckets[bound] - before)
    return bounds[-1]


class Window:
    """How much counters grew lately: since the processes began, and once it is that old, over WINDOW_SECONDS."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Samples]] = deque([(float("-inf"), Samples())])

    def add(self, now: float, samples: Samples) -> None:
        """These were read at ``now``."""
        self._seen.append((now, samples))
        while len(self._seen) > 1 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def newest(self) -> Samples:
        return self._seen[-1][1]

    def grown(self, of: Key) -> float:
        """A counter that began anew meanwhile counts from nothing."""
        newest, oldest = self.newest[of], self._seen[0][1][of]
        return newest if newest < oldest else newest - oldest

    def quantile(self, q: float, name: str, **labels: str) -> float | None:
        """Of what a histogram observed, all processes together."""
        wanted, buckets = set(labels.items()), {}
        for series in self.newest:
            if series[0] == f"{_PREFIX}{name}_bucket" and wanted <= series[1]:
                buckets[float(dict(series[1])["le"])] = self.grown(series)
        return quantile(q, buckets)

    def total(self, name: str, **labels: str) -> float:
        """The newest values of all series with these labels, added up."""
        wanted = set(labels.items())
        return sum(self.newest[each] for each in self.newest if each[0] == _PREFIX + name and wanted <= each[1])

    def grew(self, name: str, **labels: str) -> float:
        """Likewise, how much they grew."""
        wanted = set(labels.items())
        return sum(self.grown(each) for each in self.newest if each[0] == _PREFIX + name and wanted <= each[1])

    def by(self, label: str, name: str) -> dict[str, float]:
        """The newest values by one label."""
        found = Counter[str]()
        for series, value in self.newest.items():
            if series[0] == _PREFIX + name:
                found[dict(series[1]).get(label, "")] += value
        return dict(found)
