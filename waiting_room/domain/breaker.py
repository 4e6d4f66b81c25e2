"""Whether something that may be done without is asked at all. Pure: who probes, and when, is its owner's business."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """Opens on ``faults_max`` faults in a row; only a probe that worked closes it. Open until the first has."""

    faults_max: int
    open: bool = True
    _faults: int = 0

    def worked(self) -> None:
        """Asked, and answered in time. What comes late, from before it opened, closes nothing."""
        self._faults = 0

    def failed(self) -> bool:
        """Asked in vain; whether that was one too many, and nobody is to ask any more."""
        self._faults += 1
        opens = not self.open and self._faults >= self.faults_max
        self.open = self.open or opens
        return opens

    def probed(self) -> None:
        """It is there."""
        self.open = False
        self._faults = 0
