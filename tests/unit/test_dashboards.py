"""Boards, rules, runbooks and metrics fit together; each kind of mistake is found."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dashboards import catalogue, promtool
from dashboards.__main__ import files
from dashboards.board import WIDTH, Board, Panel, Query, Row
from dashboards.boards.all import BOARDS
from dashboards.catalogue import known, mistakes
from dashboards.promql import NotPromql, Selector, selectors
from dashboards.rule_files import HERE, TESTS, Rule, rules

DOCS = HERE.parent / "docs"
SECTIONS = ("## Meaning", "## Who is hurt", "## First look", "## Action")
RULES = rules()
ALERTS = [rule for rule in RULES if rule.alert]


def board_of(expr: str) -> Board:
    return Board(
        uid="x", title="X", says="", rows=(Row("", (Panel(title="P", says="", unit="s", queries=(Query(expr),)),)),)
    )


def rule_of(expr: str) -> Rule:
    return Rule("Planted", expr, True, {}, {})


def test_everything_that_is_read_is_told_and_everything_told_is_read() -> None:
    assert mistakes(BOARDS, RULES) == []


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("sum(rate(waiting_room_acept_seconds_count[5m]))", "waiting_room_acept_seconds_count, which nobody tells"),
        ("waiting_room_accept_seconds", "waiting_room_accept_seconds, which nobody tells"),
        ("waiting_room:accept_bad:ratio_rate7m", "waiting_room:accept_bad:ratio_rate7m, which nobody tells"),
        ('waiting_room_bookings_waiting{reason="worker"}', "waiting_room_bookings_waiting by reason, which it has not"),
        ("sum by (le) rate(x[5m]", "sum by (le) rate(x[5m]"),
    ],
)
def test_a_mistake_in_a_panel_or_a_rule_is_found(expr: str, found: str) -> None:
    in_a_panel = mistakes([*BOARDS, board_of(expr)], RULES)
    in_a_rule = mistakes(BOARDS, [*RULES, rule_of(expr)])
    assert len(in_a_panel) == len(in_a_rule) == 1
    assert found in in_a_panel[0]
    assert in_a_panel[0].startswith("X: P")
    assert found in in_a_rule[0]
    assert in_a_rule[0].startswith("Planted")


def test_a_metric_that_nobody_reads_needs_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    without = [replace(board, rows=()) for board in BOARDS]
    unread = mistakes(without, RULES)
    assert any(line.startswith("waiting_room_watchers is read by no board") for line in unread)
    monkeypatch.setattr(catalogue, "UNREAD", {"waiting_room_watchers": "told to whoever asks by hand"})
    assert not any(line.startswith("waiting_room_watchers") for line in mistakes(without, RULES))
    assert mistakes(BOARDS, RULES) == [
        "waiting_room_watchers is read by Pipeline: Waiting for Kafka, and watchers; take its reason out of UNREAD"
    ]


def test_what_is_read_is_found_by_a_parser() -> None:
    expr = 'sum by (le) (rate(a_bucket{x!="y"}[5m])) / on () b:c:d > 3 or max_over_time(e[5m:1m] offset 1h)'
    assert selectors(expr) == {
        Selector("a_bucket", frozenset({"x"})),
        Selector("b:c:d", frozenset()),
        Selector("e", frozenset()),
    }
    with pytest.raises(NotPromql):
        selectors("rate(a[5m)")


def test_generated_files_are_what_the_code_says() -> None:
    written = dict(files())
    for path, text in written.items():
        assert path.read_text() == text, f"{path.name} is old: run python -m dashboards"
    assert set((HERE / "json").iterdir()) == {path for path in written if path.suffix == ".json"}


def test_every_panel_says_what_it_shows_in_a_unit_and_rows_are_full() -> None:
    for board in BOARDS:
        assert board.says
        for row in board.rows:
            assert sum(panel.width for panel in row.panels) % WIDTH == 0, (board.title, row.title)
        for panel in board.panels:
            assert len(panel.says) > len("A second"), panel.title
            assert panel.unit
            assert 0 < len(panel.queries) <= 8
    assert len({board.uid for board in BOARDS}) == len(BOARDS)


def test_every_alert_has_a_runbook_with_all_that_is_needed_and_every_runbook_an_alert() -> None:
    for alert in ALERTS:
        page = HERE.parent / alert.annotations["runbook"]
        text = page.read_text()
        assert [line for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS), page.name
        assert f"Severity: {alert.labels['severity']}." in text
        assert all(len(part.strip()) > 20 for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]), page.name
    assert {page.stem for page in (DOCS / "runbooks").iterdir()} == {alert.name for alert in ALERTS}
    assert {panel.alert for board in BOARDS for panel in board.panels} - {None} <= {alert.name for alert in ALERTS}


def test_boards_and_settings_named_in_runbooks_exist() -> None:
    panels = {panel.title for board in BOARDS for panel in board.panels}
    configuration = (DOCS / "configuration.md").read_text()
    for page in (DOCS / "runbooks").iterdir():
        text = page.read_text()
        for setting in re.findall(r"WAITING_ROOM_[A-Z_]+", text):
            assert f"`{setting}`" in configuration, (page.name, setting)
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert (page.parent / link).exists(), (page.name, link)
        for title in re.findall(r'"([A-Z][^"]+)"', text):
            assert any(panel.startswith(title) for panel in panels), (page.name, title)


def untested(names: Sequence[str], texts: str) -> list[str]:
    return [name for name in names if not re.search(rf"(?<![\w:]){re.escape(name)}(?![\w:])", texts)]


def test_every_rule_is_tested_with_promtool() -> None:
    texts = "\n".join(path.read_text() for path in TESTS)
    assert untested([rule.name for rule in RULES], texts) == []
    assert untested(["waiting_room:accept_bad:ratio_rate", "NoSuchAlert"], texts) == [
        "waiting_room:accept_bad:ratio_rate",
        "NoSuchAlert",
    ]


def shown(texts: Sequence[str]) -> tuple[set[str], set[str], set[str]]:
    """(expressions that a test of promtool gives a value, alerts that one has fire, alerts that one has be silent)"""
    tests = [test for text in texts for test in yaml.safe_load(text)["tests"]]
    valued = {each["expr"] for test in tests for each in test.get("promql_expr_test", ()) if each["exp_samples"]}
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    fire = {case["alertname"] for case in cases if case["exp_alerts"]}
    return valued, fire, {case["alertname"] for case in cases if not case["exp_alerts"]}


def test_every_recording_rule_has_a_value_in_a_test_and_every_alert_fires_and_is_silent_in_one() -> None:
    """Named as what another is made of is not tested."""
    valued, fire, silent = shown([path.read_text() for path in TESTS])
    assert untested([rule.name for rule in RULES if not rule.alert], "\n".join(valued)) == []
    assert {alert.name for alert in ALERTS} <= fire & silent
    only_named = {"tests": [{"input_series": [{"series": "a:b:c", "values": "1"}], "promql_expr_test": []}]}
    assert untested(["a:b:c"], "\n".join(shown([yaml.safe_dump(only_named)])[0])) == ["a:b:c"]


def test_names_and_units_follow_the_conventions() -> None:
    for metric in known():
        assert metric.name.startswith("waiting_room_")
        assert metric.says.endswith("."), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert not re.search(r"_(ms|millis|minutes|percent)\b", metric.name)
    assert {rule.labels["severity"] for rule in ALERTS} == {"page", "ticket"}


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool: .ci/run installs Debian's prometheus if it can"
)
@pytest.mark.parametrize(("written", "planted"), [("> 900", "> 90000"), ('state="up"} > 900', 'state="up"} >> 900')])
def test_promtool_finds_a_mistake_in_a_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, planted: str
) -> None:
    """A rule that never fires fails its test, one that cannot be read fails the check."""
    copy = tmp_path / "rules"
    shutil.copytree(HERE / "rules", copy)
    alerts = copy / "alerts.yaml"
    monkeypatch.setattr(promtool, "FILES", tuple(sorted(copy.glob("*.yaml"))))
    monkeypatch.setattr(promtool, "TESTS", tuple(sorted((copy / "tests").glob("*.yaml"))))
    assert promtool.main() == 0
    alerts.write_text(alerts.read_text().replace(written, planted))
    assert promtool.main() != 0
