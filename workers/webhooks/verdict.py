"""What an answer means for a delivery, for its endpoint, and for the endpoint's pace: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from waiting_room.domain.delivery import DeliveryState, FailedWhy, Move, after
from waiting_room.store.webhooks import Delivery, Settled
from workers.pacing.work import Verdict
from workers.webhooks.schedule import again_in, retry_after_seconds

GONE: Final = 410
"""By the Standard Webhooks specification: send this endpoint nothing any more."""
BUSY: Final = frozenset({429, 503})
OUR_FAULT_AGAIN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` of the endpoint, or the ``error`` that kept it from giving one.

    ``response``: how its body began. ``asked``: False where we did not come to ask; that is not the endpoint's doing.
    """

    status: int | None
    error: str | None = None
    retry_after: str | None = None
    response: str | None = None
    asked: bool = True

    @property
    def yes(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def verdict(self) -> Verdict:
        """What it tells of the endpoint's pace."""
        if self.yes:
            return Verdict.ANSWERED
        if not self.asked:
            return Verdict.NOT_ASKED
        return Verdict.OVERLOADED if self.status in BUSY else Verdict.FAILED


def settle(
    delivery: Delivery,
    answer: Answer,
    pauses: Sequence[float],
    *,
    chance: float,
    started_at: datetime,
    seconds: float,
    now: datetime,
) -> Settled:
    """Delivered, due again, or failed for good. ``chance`` in [0, 1) spreads the retries.

    An attempt that was not made is not spent, and made up for a little later; not where nothing is left to tell.
    """
    move, again_in_seconds, why = Move.DELIVER, None, None
    if delivery.is_empty:
        move = Move.GIVE_UP
    elif not answer.asked:
        move, again_in_seconds = Move.RETRY, OUR_FAULT_AGAIN_SECONDS
    elif not answer.yes:
        if answer.status != GONE:
            asked_for = retry_after_seconds(answer.retry_after, now)
            again_in_seconds = again_in(delivery.attempts + 1, pauses, chance=chance, retry_after_seconds=asked_for)
        move = Move.GIVE_UP if again_in_seconds is None else Move.RETRY
    if move is Move.GIVE_UP:
        why = FailedWhy.GONE if answer.status == GONE else FailedWhy.ATTEMPTS
    return Settled(
        delivery.endpoint_id,
        delivery.clinic_id,
        delivery.seq,
        delivery.lease_until,
        after(DeliveryState.DUE, move),
        why,
        again_in_seconds,
        1 if answer.asked else 0,
        started_at,
        seconds,
        delivery.url,
        answer.status,
        answer.error,
        answer.response,
    )
