"""Whether the eligibility system is asked now, and when a booking that waits for it is asked for again. Pure.

One system for all clinics, so one breaker a worker; it is not a clinic's, and nothing that happens here touches a
clinic's limit, its breaker, or what a booking may try there.
"""

from __future__ import annotations

from workers.pacing.breaker import Breaker

TRIES = 2
"""A question is asked so often before the system counts as away for its booking."""
RETRY_SECONDS = 0.2
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 2.0, 60.0
"""A booking that waits is looked at again after as long as the system has been away, within these bounds: early at
first, rarely when it is gone for good, and within a minute of its return.
"""


class Checks:
    """``now`` is monotonic seconds. Every ``asked`` ends with one of ``answered``, ``failed`` and ``said_nothing``."""

    def __init__(self, breaker: Breaker | None = None) -> None:
        self._breaker = breaker or Breaker()
        self._failing_since: float | None = None

    @property
    def away(self) -> bool:
        """Whether the system is taken to be down."""
        return self._breaker.open

    def may_ask(self, now: float) -> bool:
        """Whether a question may be asked now: any, or the one that finds out whether the system is back."""
        return self._breaker.allows(now)

    def asked(self) -> bool:
        """A question is asked, which ``may_ask`` has allowed. Whether it probes: say so again when it ends."""
        return self._breaker.started()

    def answered(self) -> None:
        """The system gave an answer that counts."""
        self._failing_since = None
        self._breaker.succeeded()

    def failed(self, now: float, *, probe: bool) -> None:
        """It gave none."""
        if self._failing_since is None:
            self._failing_since = now
        self._breaker.failed(now, probe=probe)

    def said_nothing(self, *, probe: bool) -> None:
        """The question ended without telling anything of the system."""
        self._breaker.said_nothing(probe=probe)

    def retry_seconds(self, jitter: float) -> float:
        """The pause before a question is asked once more. ``jitter`` is a draw from [0, 1)."""
        return RETRY_SECONDS * (1.0 + jitter)

    def again_seconds(self, now: float, jitter: float) -> float:
        """How long a booking that nobody could tell about waits; shortened by up to a half, so that what was asked
        together does not come back together.
        """
        away_seconds = 0.0 if self._failing_since is None else now - self._failing_since
        return min(max(away_seconds, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS) * (1.0 - jitter / 2)
