"""Which ingresses know where a clinic's commands go: what each last reported, and until when one may act on it. Pure.

A clinic that moves needs every ingress to know before its old partition gets its last word. One that is silent may be
gone, or frozen with an old map in its head. So a report is a lease: an ingress accepts commands for LEASE_SECONDS
from before it wrote its last acknowledged report, and whoever moves a clinic takes it for gone LIVE_SECONDS after it
was last heard: by then what it has accepted cannot be appended any more (``accept_by``). Both count seconds of their
own; no two clocks are compared, but for reports from before anybody listened, generously.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from waiting_room.messages import MapReport

REPEAT_SECONDS: Final = 5.0
"""A report that says nothing new is repeated this often, so that one can be late."""
LEASE_SECONDS: Final = 10.0
LIVE_SECONDS: Final = 15.0
LONG_AGO_SECONDS: Final = 60.0
"""A report that was older than this when we began to listen is a dead ingress's, unless clocks differ by 45 s."""


def lease_seconds(accept_within_seconds: float) -> float:
    """How long one report entitles an ingress whose commands may be appended so long after they were accepted."""
    return min(LEASE_SECONDS, LIVE_SECONDS - accept_within_seconds)


class Reports:
    """What ingresses reported. ``now``: monotonic seconds of whoever listens."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, int]] = {}

    def heard(self, report: MapReport, now: float) -> None:
        """It came while we listened."""
        self._heard[report.worker_id] = now, report.directory_offset

    def found(self, report: MapReport, now: float, at: datetime) -> None:
        """It was there when we began to listen, at ``at``."""
        if abs((at - report.at).total_seconds()) <= LONG_AGO_SECONDS:
            self.heard(report, now)
        else:
            self._heard.pop(report.worker_id, None)

    def live(self, now: float) -> list[str]:
        """Ingresses that may be accepting commands."""
        return sorted(worker_id for worker_id, (at, _) in self._heard.items() if now - at < LIVE_SECONDS)

    def behind(self, directory_offset: int, now: float) -> list[str]:
        """Those of them that do not know everything before this offset, as far as they have said."""
        return [worker_id for worker_id in self.live(now) if self._heard[worker_id][1] < directory_offset]
