"""What becomes of a message: whether it may still be sent, and what a gateway's answer means for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from waiting_room.domain.notifications import REMINDER, base_of, still_true
from waiting_room.store.notifications import Begun, Settled

JITTER: Final = 0.2
"""Pauses vary by up to this share, so that what failed together does not come back together."""
RETRY_AFTER_MAX_SECONDS: Final = 900.0


class Answer(NamedTuple):
    """What a gateway said. ``error`` is a code for people, never its own words: those may hold an address.

    ``final``: asking again would be answered the same.
    """

    sent: bool
    error: str | None = None
    final: bool = False
    retry_after_seconds: float | None = None


SENT: Final = Answer(True)


def unwanted(begun: Begun) -> str | None:
    """Why this is not to be sent any more, as the booking is now."""
    if not still_true(begun.key.kind, begun.key.revision, begun.status, begun.revision_now):
        return "overtaken"
    if begun.offer_over or (base_of(begun.key.kind) == REMINDER and begun.has_begun):
        return "too late"
    return "unsubscribed" if begun.key.channel in begun.unsubscribed else None


def dropped(begun: Begun, why: str) -> Settled:
    return Settled(begun.key, begun.lease_until, "dropped", tried=False, error=why)


def settle(
    begun: Begun,
    answer: Answer,
    pauses: Sequence[float],
    *,
    chance: float,
    next_channel: str | None,
    next_in_seconds: float = 0.0,
) -> Settled:
    """Sent, due again after a pause, or failed for good; then ``next_channel`` steps in, so many seconds later.

    ``chance`` in [0, 1) spreads the pauses. A gateway that asks for a longer one gets it, within bounds.
    """
    if answer.sent:
        return Settled(begun.key, begun.lease_until, "sent")
    if answer.final or begun.attempts >= len(pauses):
        return Settled(
            begun.key,
            begun.lease_until,
            "failed",
            error=answer.error,
            next_channel=next_channel,
            next_in_seconds=next_in_seconds,
        )
    pause = pauses[begun.attempts] * (1 + JITTER * (2 * chance - 1))
    asked = min(answer.retry_after_seconds or 0.0, RETRY_AFTER_MAX_SECONDS)
    return Settled(begun.key, begun.lease_until, "due", again_in_seconds=max(pause, asked), error=answer.error)
