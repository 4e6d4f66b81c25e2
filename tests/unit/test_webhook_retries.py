"""When deliveries are tried again, and what an answer means for them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_webhook_message import delivery
from waiting_room.settings import Settings
from waiting_room.store.webhooks import Settled
from workers.pacing.work import Verdict
from workers.webhooks.schedule import RETRY_AFTER_MAX_SECONDS, again_in, pauses_of, retry_after_seconds
from workers.webhooks.verdict import Answer, settle

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
PAUSES = pauses_of(Settings.model_fields["webhook_retry_seconds"].default)


def settled_by(answer: Answer, attempts: int = 0) -> Settled:
    return settle(delivery(attempts=attempts), answer, PAUSES, chance=0.5, started_at=NOW, seconds=0.2, now=NOW)


def test_the_default_schedule_is_the_documented_one() -> None:
    waits = [again_in(failed, PAUSES, chance=0.5) for failed in range(1, 9)]
    assert waits == [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000, None]


@given(st.integers(1, 7), st.floats(0, 1, exclude_max=True))
def test_pauses_spread_by_a_fifth(failed: int, chance: float) -> None:
    wait = again_in(failed, PAUSES, chance=chance)
    assert wait is not None
    assert 0.8 * PAUSES[failed - 1] <= wait <= 1.2 * PAUSES[failed - 1]


def test_an_endpoint_may_ask_for_a_longer_pause_but_for_no_shorter_one_and_for_a_day_at_most() -> None:
    assert again_in(1, PAUSES, chance=0.5, retry_after_seconds=60) == 60
    assert again_in(2, PAUSES, chance=0.5, retry_after_seconds=60) == 300
    assert again_in(1, PAUSES, chance=0.5, retry_after_seconds=1e9) == RETRY_AFTER_MAX_SECONDS


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Mon, 23 Nov 2026 08:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    settled = settled_by(Answer(status))
    assert (settled.state, settled.again_in_seconds, settled.status) == ("delivered", None, status)


@pytest.mark.parametrize(
    "answer", [Answer(500), Answer(302), Answer(404), Answer(199), Answer(None, "timeout"), Answer(429)]
)
def test_anything_else_is_tried_again(answer: Answer) -> None:
    settled = settled_by(answer)
    assert (settled.state, settled.again_in_seconds, settled.error, settled.spent) == ("due", 5, answer.error, 1)


def test_retry_after_is_honoured() -> None:
    assert settled_by(Answer(503, retry_after="77")).again_in_seconds == 77


def test_after_the_last_attempt_it_has_failed() -> None:
    assert settled_by(Answer(500), attempts=6).state == "due"
    last = settled_by(Answer(500), attempts=7)
    assert (last.state, last.failed_why) == ("failed", "attempts")


def test_an_endpoint_that_is_gone_is_not_asked_again() -> None:
    settled = settled_by(Answer(410, retry_after="5"))
    assert (settled.state, settled.again_in_seconds, settled.failed_why) == ("failed", None, "gone")


def test_what_we_did_not_send_costs_no_attempt() -> None:
    settled = settled_by(Answer(None, "the endpoint has no secret", asked=False), attempts=7)
    assert (settled.state, settled.spent) == ("due", 0)
    assert settled.again_in_seconds


def test_what_has_nothing_to_tell_any_more_is_not_tried_for_ever() -> None:
    """Archived just when somebody had it sent again, it was looked at every minute from then on."""
    answer = Answer(None, "its booking is archived", asked=False)
    settled = settle(delivery(record=None), answer, PAUSES, chance=0.5, started_at=NOW, seconds=0.0, now=NOW)
    assert (settled.state, settled.failed_why, settled.spent) == ("failed", "attempts", 0)
    assert settled.again_in_seconds is None


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(204), Verdict.ANSWERED),
        (Answer(429), Verdict.OVERLOADED),
        (Answer(503), Verdict.OVERLOADED),
        (Answer(500), Verdict.FAILED),
        (Answer(302), Verdict.FAILED),
        (Answer(None, "timeout"), Verdict.FAILED),
        (Answer(None, "no secret", asked=False), Verdict.NOT_ASKED),
    ],
)
def test_what_an_answer_says_of_the_pace(answer: Answer, verdict: Verdict) -> None:
    assert answer.verdict is verdict
