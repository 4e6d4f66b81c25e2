"""What becomes of a line that is longer than its lane where the partition is shared with other clinics.

Pausing the partition would hold up the neighbours, and so would an offset that cannot move on because the line does
not. So doorbells of such a clinic are done with when they are read: the line is in PostgreSQL. What does not fit into
the lane is passed over, and the lane is filled up again from there, in the order of the tickets.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refill:
    """Up to ``wanted`` bookings of this clinic that are due and not among ``known``, lowest ticket first."""

    clinic_id: str
    wanted: int
    known: tuple[str, ...]


class Overflow:
    """One lane's. While it is ``on`` nothing is lined up but from PostgreSQL: whatever is rung for comes later."""

    def __init__(self) -> None:
        self.on = False
        self.asked: Refill | None = None
        """What PostgreSQL is being asked for."""
        self.again_at: float | None = None
        """When more of the line comes due there: a retry that an earlier owner left. Monotonic seconds."""
        self._passed_over = False

    def pass_over(self) -> None:
        """A booking was rung for and not lined up. It is in PostgreSQL: rings follow commits."""
        self.on = self._passed_over = True

    def ask(self, refill: Refill) -> None:
        """PostgreSQL is asked now."""
        self.asked, self._passed_over = refill, False

    def look_at(self, now: float) -> None:
        """Whether what was not due yet is by now."""
        if self.again_at is not None and self.again_at <= now:
            self.again_at = None
            self.pass_over()

    def filled(self, *, complete: bool, again_at: float | None = None) -> None:
        """``complete``: it had no more by now. What was passed over since it was asked may not have been among that."""
        self.asked = None
        self.on = not complete or self._passed_over
        self.again_at = again_at

    def failed(self) -> None:
        """It could not be asked."""
        self.asked = None
