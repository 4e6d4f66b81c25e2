"""The delivery state machine, pure; the table enforces the same (tests/integration/test_webhook_states.py)."""

from __future__ import annotations

import pytest

from waiting_room.domain.delivery import DeliveryState, IllegalMove, Move, after

DUE, DELIVERED, FAILED = DeliveryState


def test_attempts_end_in_a_yes_or_in_giving_up() -> None:
    assert after(DUE, Move.RETRY) is DUE
    assert after(DUE, Move.DELIVER) is DELIVERED
    assert after(DUE, Move.GIVE_UP) is FAILED


def test_a_late_yes_counts_and_nothing_takes_it_back() -> None:
    assert after(FAILED, Move.DELIVER) is DELIVERED
    for move in (Move.RETRY, Move.GIVE_UP, Move.DELIVER):
        with pytest.raises(IllegalMove):
            after(DELIVERED, move)
    with pytest.raises(IllegalMove):
        after(FAILED, Move.RETRY)


@pytest.mark.parametrize("state", DeliveryState)
def test_anything_may_be_replayed(state: DeliveryState) -> None:
    assert after(state, Move.REPLAY) is DUE
