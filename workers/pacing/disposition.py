"""What becomes of a booking whose call failed: one pure table, and the only place that decides it.

    failure          confirming call                        look-up, withdrawal
    not_sent         retry in lane, spends nothing          step aside, spends nothing
    unavailable      retry in lane; spent: park             step aside; spent: park
    overloaded       retry in lane; spent: park             step aside; spent: park
      crowded        retry in lane soon, spends nothing   step aside; spent: park
    outcome_unknown  look up; spent: park                   step aside; spent: park
    refused          reject                                 park: a person must look
    cannot_look_up   -                                      park: a person must look
    unprocessable    dead-letter                            dead-letter
    fault            step aside; faults spent: dead-letter  the same

A retry in lane keeps its place: what came later waits behind it. Stepping aside (to look up, to withdraw) lets the
others go on. Parking leaves the lane; PostgreSQL keeps the booking and when it is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from waiting_room.domain.appointment import ClinicState
from waiting_room.domain.clinic_call import BOOKS, CallKind
from waiting_room.domain.failures import Failure


class Action(StrEnum):
    FINISH = "finish"
    """Nothing is left to do."""
    RETRY = "retry"
    """In its place in the lane, after a pause."""
    ASIDE = "aside"
    """Out of its place for a moment; the others go on."""
    ELSEWHERE = "elsewhere"
    """Another worker's call for it is still leased and counts as in flight until the pause is over."""
    PARK = "park"
    """Out of the lane: due again when PostgreSQL says so."""
    REJECT = "reject"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True)
class Disposition:
    action: Action
    after_seconds: float = 0.0

    @property
    def leaves(self) -> bool:
        """Whether the booking leaves its lane."""
        return self.action not in _STAYS


LONGEST_ASIDE_SECONDS = 60.0
"""What steps aside for longer leaves the lane; PostgreSQL keeps it and sweep rings for it again."""

_STAYS = frozenset({Action.RETRY, Action.ASIDE, Action.ELSEWHERE})
FINISHED = Disposition(Action.FINISH)


@dataclass(frozen=True, slots=True)
class Budget:
    """``tries`` in a lane before a booking is parked; ``faults`` of ours before its record is put aside."""

    tries: int = 5
    faults: int = 5
    crowded_pause_seconds: float = 0.1
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 8.0
    first_park_seconds: float = 15.0
    longest_park_seconds: float = 300.0
    longest_retry_after_seconds: float = 300.0


def dispose(
    failure: Failure,
    kind: CallKind,
    *,
    tries: int,
    faults: int,
    attempt: int,
    jitter: float,
    crowded: bool = False,
    retry_after_seconds: float | None = None,
    budget: Budget = Budget(),
) -> Disposition:
    """The row of the table, and after how long.

    ``tries`` and ``faults`` count this failure; ``attempt`` is the booking's claim number, which parking backs off
    by. ``jitter`` is a draw from [0, 1): pauses are shortened by up to a half, so that what failed together does not
    come back together. What the clinic said in ``retry_after_seconds`` is never shortened, but where it was
    ``crowded`` by others of ours: it takes fewer at once than we thought, the limit has learnt it, and what is to be
    waited for is one of those.
    """
    share = 1.0 - jitter / 2

    def pause(after: int) -> float:
        backoff = min(budget.first_pause_seconds * 2.0 ** min(after - 1, 30), budget.longest_pause_seconds) * share
        return max(backoff, min(retry_after_seconds or 0.0, budget.longest_retry_after_seconds))

    def park() -> Disposition:
        backoff = min(budget.first_park_seconds * 2.0 ** min(attempt // budget.tries, 30), budget.longest_park_seconds)
        return Disposition(Action.PARK, max(backoff * share, retry_after_seconds or 0.0))

    confirming = kind in BOOKS
    match failure:
        case Failure.NOT_SENT:
            return Disposition(Action.RETRY if confirming else Action.ASIDE, pause(1))
        case Failure.OVERLOADED if crowded and confirming:
            return Disposition(Action.RETRY, budget.crowded_pause_seconds * share)
        case Failure.UNAVAILABLE | Failure.OVERLOADED | Failure.OUTCOME_UNKNOWN if tries >= budget.tries:
            return park()
        case Failure.UNAVAILABLE | Failure.OVERLOADED:
            return Disposition(Action.RETRY if confirming else Action.ASIDE, pause(max(tries, 1)))
        case Failure.OUTCOME_UNKNOWN:
            return Disposition(Action.ASIDE, pause(max(tries, 1)))
        case Failure.REFUSED if confirming:
            return Disposition(Action.REJECT)
        case Failure.REFUSED | Failure.CANNOT_LOOK_UP:
            return park()
        case Failure.UNPROCESSABLE:
            return Disposition(Action.DEAD_LETTER)
        case Failure.FAULT if faults >= budget.faults:
            return Disposition(Action.DEAD_LETTER)
        case Failure.FAULT:
            return Disposition(Action.ASIDE, pause(max(faults, 1)))


def after_record(disposition: Disposition, again_seconds: float | None, clinic_state: ClinicState) -> Disposition:
    """What the table says, as far as the booking's new state leaves anything to do: in ``again_seconds``, or never."""
    if again_seconds is None or disposition.action is Action.DEAD_LETTER:
        return FINISHED
    if disposition.action is Action.PARK:
        return Disposition(Action.PARK, again_seconds)
    if clinic_state in (ClinicState.NONE, ClinicState.BOOKED):  # to be booked, or to be moved
        return Disposition(Action.RETRY, again_seconds)
    return Disposition(Action.PARK if again_seconds > LONGEST_ASIDE_SECONDS else Action.ASIDE, again_seconds)
