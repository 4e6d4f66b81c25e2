"""Dead-lettering is paid with tokens that successes earn.

One bad record among good ones is put aside at once. When everything fails, be it a total outage or a bug of ours,
nothing is earned, and a line cannot be emptied into the dead-letter topic: it waits until somebody has mended it.
"""

from __future__ import annotations

FIRST, EARNED_BY_A_SUCCESS, MOST = 1.0, 0.05, 20.0


class Tokens:
    """One worker's. Begins with one, for the bad record that stands at the head of a line."""

    def __init__(self) -> None:
        self._tokens = FIRST

    def earn(self) -> None:
        """A booking went its way."""
        self._tokens = min(self._tokens + EARNED_BY_A_SUCCESS, MOST)

    def spend(self) -> bool:
        """Whether a record may be put aside now; then it is paid for."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
