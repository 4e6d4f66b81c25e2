"""What earlier runs learnt about the clinics, be it in this process or another: from ``clinic.pulse``."""

from __future__ import annotations

from datetime import datetime

import structlog

from waiting_room.messages import MapReport, PulseRecord, Reader, Unreadable
from workers.pacing.adaptive import Remembered

log = structlog.get_logger(__name__)


class Memory:
    """The newest that any worker said of each clinic."""

    def __init__(self) -> None:
        self._read: Reader[PulseRecord] = Reader(PulseRecord)
        self._known: dict[str, tuple[datetime, Remembered]] = {}

    def apply(self, key: str, value: bytes | None) -> None:
        """Take a record of the topic. What cannot be read is not remembered."""
        if value is None:
            return
        try:
            pulse = self._read(value)
        except Unreadable as error:
            log.error("pulse_unreadable", key=key, error=str(error))
            return
        if isinstance(pulse, MapReport):
            return
        for clinic_id, seen in pulse.clinics.items():
            if seen.known_limit is None or seen.usual_seconds is None:
                continue
            known = self._known.get(clinic_id)
            if known is None or pulse.at >= known[0]:
                self._known[clinic_id] = pulse.at, Remembered(seen.known_limit, seen.usual_seconds)

    def of(self, clinic_id: str) -> Remembered | None:
        """What is known of this clinic."""
        known = self._known.get(clinic_id)
        return None if known is None else known[1]
