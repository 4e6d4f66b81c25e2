"""What may become of a webhook delivery: one pure state machine. The table's trigger enforces the same moves.

due ──delivered──▶ delivered          due: an attempt is to be made, or under way while its lease lasts
 │ ▲                 ▲   │            failed: nobody tries again by itself; the dead letters of webhooks
 │ └────replayed─────┼───┤
 └──gave up──▶ failed┘   │            A yes that is heard late, after others gave up, still counts.
      └──────replayed────┘
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class DeliveryState(StrEnum):
    DUE = "due"
    DELIVERED = "delivered"
    FAILED = "failed"


class Move(StrEnum):
    """What happens to a delivery."""

    RETRY = "retry"
    """An attempt failed and another is to come."""
    DELIVER = "deliver"
    """The endpoint said yes."""
    GIVE_UP = "give_up"
    """No attempt is left, or the endpoint is gone or was disabled."""
    REPLAY = "replay"
    """Somebody wants it sent (again), with all attempts before it."""


class FailedWhy(StrEnum):
    """Why nobody tries again."""

    ATTEMPTS = "attempts"
    GONE = "gone"
    """The endpoint answered 410."""
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    """Why an endpoint is sent nothing any more."""

    OWNER = "owner"
    OPERATOR = "operator"
    GONE = "gone"
    FAILING = "failing"
    """Nothing but failures for as long as the setting says (five days)."""


class IllegalMove(Exception):
    """The move does not fit the state; nothing may be written."""


_MOVES: Final[Mapping[tuple[DeliveryState, Move], DeliveryState]] = MappingProxyType(
    {
        (DeliveryState.DUE, Move.RETRY): DeliveryState.DUE,
        (DeliveryState.DUE, Move.DELIVER): DeliveryState.DELIVERED,
        (DeliveryState.DUE, Move.GIVE_UP): DeliveryState.FAILED,
        (DeliveryState.FAILED, Move.DELIVER): DeliveryState.DELIVERED,
        **{(state, Move.REPLAY): DeliveryState.DUE for state in DeliveryState},
    }
)


def after(state: DeliveryState, move: Move) -> DeliveryState:
    """The state after ``move``. Raises IllegalMove."""
    try:
        return _MOVES[state, move]
    except KeyError:
        raise IllegalMove(f"{move} does not fit {state}") from None
