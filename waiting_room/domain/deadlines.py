"""Until when a booking waits for its clinic. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple


class Deadlines(NamedTuple):
    """From when it is held, how long a booking may wait for its clinic: usually, and where the clinic is down."""

    usual: timedelta
    in_outage: timedelta

    def hold_until(self, now: datetime, start_at: datetime) -> datetime:
        """A decision that comes after it begins is of no use."""
        return min(now + self.usual, start_at)

    def decide_by(self, now: datetime, start_at: datetime) -> datetime:
        return min(now + self.in_outage, start_at)
