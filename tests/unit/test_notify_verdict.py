"""What gateways' answers mean, what is no longer sent, and what a sender has in hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiting_room.domain.appointment import Status
from waiting_room.settings import Settings
from waiting_room.store.notifications import Begun, InHand, Key
from workers.notify.hand import DatabaseClock, Hand
from workers.notify.verdict import RETRY_AFTER_MAX_SECONDS, SENT, Answer, settle, unwanted

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PAUSES = tuple(float(part) for part in Settings.model_fields["notify_retry_seconds"].default.split(","))


def key(number: int = 1, kind: str = "reminder-1h") -> Key:
    return Key("0001", f"0001-{number}", 1, kind, "sms")


def begun(kind: str = "reminder-1h", **changes: Any) -> Begun:
    values: dict[str, Any] = {
        "key": key(kind=kind),
        "due_at": NOW,
        "attempts": 0,
        "lease_until": NOW,
        "late_seconds": 0.1,
        "status": Status.CONFIRMED,
        "revision_now": 1,
        "reason": None,
        "by": None,
        "provider_id": "0001-1",
        "service_type": "consultation",
        "start_at": NOW + timedelta(hours=1),
        "end_at": NOW + timedelta(hours=2),
        "has_begun": False,
        "patient": b"{}",
        "patient_key": None,
        "clinic_name": "Clinic",
        "timezone": "UTC",
        "provider_name": "Dr",
    }
    return Begun(**{**values, **changes})


def test_what_is_not_sent_any_more() -> None:
    assert unwanted(begun()) is None
    assert unwanted(begun(status=Status.CANCELLED)) == "overtaken"
    assert unwanted(begun(revision_now=2)) == "overtaken"
    assert unwanted(begun(has_begun=True)) == "too late"
    assert unwanted(begun("confirmed", has_begun=True)) is None


def test_three_attempts_and_then_the_next_channel() -> None:
    failed = Answer(False, "http 503")
    outcomes = [
        settle(begun(attempts=attempts), failed, PAUSES, chance=0.5, next_channel="email") for attempts in range(3)
    ]
    assert [each.state for each in outcomes] == ["due", "due", "failed"]
    assert [each.again_in_seconds for each in outcomes] == [5, 15, None]
    assert [each.next_channel for each in outcomes] == [None, None, "email"]


def test_a_refusal_for_good_ends_it_at_once_and_a_yes_always_counts() -> None:
    assert (
        settle(begun(), Answer(False, "smtp 550", final=True), PAUSES, chance=0.5, next_channel=None).state == "failed"
    )
    assert settle(begun(attempts=9), SENT, PAUSES, chance=0.5, next_channel="email").state == "sent"


@pytest.mark.parametrize(("asked", "pause"), [(1.0, 5.0), (60.0, 60.0), (1e9, RETRY_AFTER_MAX_SECONDS)])
def test_a_gateway_may_ask_for_a_longer_pause(asked: float, pause: float) -> None:
    answer = Answer(False, "http 429", retry_after_seconds=asked)
    assert settle(begun(), answer, PAUSES, chance=0.5, next_channel=None).again_in_seconds == pause


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(0, 60), st.integers(0, 10))
def test_a_hand_gives_what_is_due_longest_first_and_each_once(offsets: list[int], now: int, limit: int) -> None:
    hand = Hand()
    messages = [InHand(key(number), NOW + timedelta(seconds=offset)) for number, offset in enumerate(offsets)]
    hand.take(messages)
    hand.take(messages)  # claimed again while it was in hand
    assert len(hand) == len(messages)
    due_at = {message.key: message.next_attempt_at for message in messages}
    at = NOW + timedelta(seconds=now)
    taken = hand.due(at, limit)
    times = [due_at[each] for each in taken]
    assert times == sorted(times)
    assert len(taken) == min(limit, sum(offset <= now for offset in offsets))
    assert len(hand) == len(messages) - len(taken)
    assert hand.next_at == min((due_at[each] for each in set(due_at) - set(taken)), default=None)


def test_the_databases_clock_is_followed_wherever_it_jumps() -> None:
    clock = DatabaseClock()
    with pytest.raises(ValueError, match="not asked"):
        clock.now(0.0)
    clock.heard(NOW, 100.0)
    assert clock.now(107.5) == NOW + timedelta(seconds=7.5)
    clock.heard(NOW - timedelta(hours=1), 110.0)  # it was set back
    assert clock.now(111.0) == NOW - timedelta(hours=1) + timedelta(seconds=1)
