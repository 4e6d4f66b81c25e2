"""The run that shows the boards at work: what falls due in it, and what it says of panels without a value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from dashboards.boards.all import BOARDS
from loadtest.bookings import mix_from
from loadtest.observe.table import told_of_panels
from loadtest.observe.world import DUE_AFTER_MINUTES, UNSEEN, leads
from waiting_room.domain.reminders import leads_of
from workers.supervise import supervisor
from workers.webhooks import endpoints

FRIDAY_LATE = datetime(2026, 11, 27, 23, 59, 31, tzinfo=UTC)


@pytest.mark.parametrize("now", [FRIDAY_LATE, FRIDAY_LATE + timedelta(seconds=29), FRIDAY_LATE + timedelta(days=2.3)])
def test_who_books_a_contested_time_is_reminded_of_it_in_the_run(now: datetime) -> None:
    mix = mix_from(now)
    due = {mix.contested_from - lead.length for lead in leads_of(leads(now, mix))}
    for minutes in DUE_AFTER_MINUTES:
        [at] = [each for each in due if 0 < (each - now).total_seconds() - (minutes - 1) * 60 <= 60]
        assert at.second == 0


def test_a_panel_without_a_value_is_named_and_one_that_rightly_has_none_is_explained() -> None:
    seen, told = told_of_panels(["A: b", "C: d"], {"C: d": "nobody comes", "E: f": "has a value in this run"})
    assert seen == "- Panels without a value: A: b."
    assert told == "- Nothing is to be seen in C: d: nobody comes."
    assert told_of_panels([], {}) == ["- Panels without a value: none."]


def test_reasons_are_of_panels_that_there_are() -> None:
    assert UNSEEN.keys() <= {f"{board.title}: {panel.title}" for board in BOARDS for panel in board.panels}


@pytest.mark.parametrize(
    ("module", "name", "label"),
    [
        (supervisor, "waiting_room_confirm_rebalances_total", {"why": "up"}),
        (endpoints, "waiting_room_webhook_endpoints_disabled_total", {"reason": "gone"}),
    ],
)
def test_what_a_board_sees_increase_is_told_of_from_zero(module: object, name: str, label: dict[str, str]) -> None:
    assert module is not None
    assert REGISTRY.get_sample_value(name, label) is not None
