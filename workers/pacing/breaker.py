"""Whether a clinic is taken to be down, and when to try it again with one real booking.

    closed ──(consecutive failures)──▶ open ──(its time is up)──▶ half-open: one probe
      ▲                                  ▲                          │
      └────────── any success ───────────┴──── the probe fails ─────┘

While it is open nothing is spent: no call is made, no booking's attempts burn.
"""

from __future__ import annotations

FAILURES_TO_OPEN = 5
FIRST_OPEN_SECONDS, LONGEST_OPEN_SECONDS = 1.0, 30.0


class Breaker:
    """One clinic's; each probe that fails doubles the time until the next. ``now`` is monotonic seconds."""

    def __init__(
        self,
        *,
        failures_to_open: int = FAILURES_TO_OPEN,
        first_open_seconds: float = FIRST_OPEN_SECONDS,
        longest_open_seconds: float = LONGEST_OPEN_SECONDS,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._first_open_seconds = first_open_seconds
        self._longest_open_seconds = longest_open_seconds
        self._failures = 0
        self._open_until: float | None = None
        self._open_seconds = first_open_seconds
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether the clinic is taken to be down; also while a probe is under way."""
        return self._open_until is not None

    @property
    def probe_at(self) -> float | None:
        """From when on one call may start; None while it is closed, or its probe is under way."""
        return None if self._probing else self._open_until

    def allows(self, now: float) -> bool:
        """Whether a call may start now."""
        return self._open_until is None or (not self._probing and now >= self._open_until)

    def started(self) -> bool:
        """A call starts, which ``allows`` has allowed. Whether it is a probe: say so again when it ends."""
        self._probing = self.open
        return self._probing

    def succeeded(self) -> None:
        """The clinic answered; also if the call had started before the breaker opened."""
        self._failures = 0
        self._open_until = None
        self._open_seconds = self._first_open_seconds
        self._probing = False

    def failed(self, now: float, *, probe: bool) -> None:
        """No answer that counts. What fails after the breaker has opened tells nothing new, but for the probe."""
        if self._open_until is None:
            self._failures += 1
            if self._failures >= self._failures_to_open:
                self._open_until = now + self._open_seconds
        elif probe and self._probing:
            self._probing = False
            self._open_seconds = min(self._open_seconds * 2, self._longest_open_seconds)
            self._open_until = now + self._open_seconds

    def said_nothing(self, *, probe: bool) -> None:
        """The call ended without the clinic having been asked; the next one may probe."""
        if probe:
            self._probing = False
