"""One booking on its way through a lane."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

from workers.pacing.offsets import Partition

Key = tuple[str, str]
"""(clinic_id, booking_ref)"""


class Rank(IntEnum):
    """Which topic a ring came by: priority goes first."""

    PRIORITY = 0
    NORMAL = 1


@dataclass(frozen=True, slots=True)
class Ring:
    """A record that says: this booking has work at its clinic. ``record`` is not looked at here."""

    clinic_id: str
    booking_ref: str
    rank: Rank
    partition: Partition
    offset: int
    record: object = None

    @property
    def key(self) -> Key:
        return self.clinic_id, self.booking_ref


class Where(Enum):
    """Where a booking is in its lane."""

    WAITING = auto()
    STARTED = auto()
    ASIDE = auto()
    """Out of its place until a moment; see Action.ASIDE."""
    ELSEWHERE = auto()
    """The same, and counted as in flight meanwhile; see Action.ELSEWHERE."""


@dataclass(slots=True, eq=False)
class Work:
    """What the lanes know of one booking. Others read it and change nothing."""

    ring: Ring
    turn: int
    """Its place: lower goes first within a rank."""
    rings: list[Ring]
    """Finished together when it is."""
    taken: bool = False
    """Its row in PostgreSQL stands for it: it is kept for as long as its clinic's partition is ours."""
    rung_again: list[Ring] = field(default_factory=list)
    """Came while it was started: there may be new work that the call under way does not do."""
    where: Where = Where.WAITING
    not_before: float = 0.0
    has_slot: bool = False
    in_flight: int = 0
    """Calls of its clinic when it started, itself included."""
    crowded: bool = False
    """Whether others of ours were under way at its clinic when its last call ended."""
    probe: bool = False
    verifying: bool = False
    """Started, and something is found out before its clinic is called; it takes no slot meanwhile."""
    tries: int = 0
    faults: int = 0

    @property
    def key(self) -> Key:
        return self.ring.key

    @property
    def clinic_id(self) -> str:
        return self.ring.clinic_id

    @property
    def booking_ref(self) -> str:
        return self.ring.booking_ref

    @property
    def ours(self) -> bool:
        """Whether it is left to do here."""
        return bool(self.rings) or self.taken

    @property
    def rank(self) -> Rank:
        return self.ring.rank


class Verdict(Enum):
    """What a call told about its clinic, whatever it meant for the booking."""

    ANSWERED = auto()
    OVERLOADED = auto()
    FAILED = auto()
    NOT_ASKED = auto()
    """Nothing was sent; that was not the clinic's doing."""
