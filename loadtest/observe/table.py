"""What a run showed: the values behind each panel and of each recording rule, as a page for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dashboards.board import CLINIC, Board
from dashboards.rule_files import Rule
from loadtest.observe.prometheus import Prometheus

STEP_SECONDS = 5.0


class Span(NamedTuple):
    """When the run was, in Unix time."""

    start: float
    end: float


class Seen(NamedTuple):
    """The numbers of one expression over a run: how many series, the least, the greatest and the last of their values;
    none where it had no number.
    """

    series: int
    least: float
    most: float
    last: float


async def see(prometheus: Prometheus, expr: str, span: Span) -> Seen | None:
    """Ask for all of the run. What is no number (a ratio of nothing) is no value."""
    found = await prometheus.query_range(expr.replace(CLINIC, ".*"), span.start, span.end, STEP_SECONDS)
    values = [
        numbers
        for series in found
        if (numbers := [number for _, text in series["values"] if math.isfinite(number := float(text))])
    ]
    if not values:
        return None
    together = [number for numbers in values for number in numbers]
    return Seen(len(values), min(together), max(together), sum(numbers[-1] for numbers in values))


async def rules_table(prometheus: Prometheus, rules: Sequence[Rule], span: Span) -> tuple[list[str], list[str]]:
    """(Markdown lines, names of recording rules without a value)."""
    lines = ["| rule | series | least | most | last |", "|---|---|---|---|---|"]
    empty = []
    for rule in rules:
        if rule.alert:
            continue
        seen = await see(prometheus, rule.name, span)
        if seen is None:
            empty.append(rule.name)
        lines.append(f"| `{rule.name}` | {_columns(seen)} |")
    return lines, empty


async def panels_table(prometheus: Prometheus, boards: Sequence[Board], span: Span) -> tuple[list[str], list[str]]:
    """(Markdown lines, "board: panel" of those without any value)."""
    lines, empty = ["| panel | what | series | least | most | last |", "|---|---|---|---|---|---|"], []
    for board in boards:
        for panel in board.panels:
            seen = [await see(prometheus, query.expr, span) for query in panel.queries]
            if not any(seen):
                empty.append(f"{board.title}: {panel.title}")
            for query, each in zip(panel.queries, seen, strict=True):
                what = query.legend.replace("{{", "").replace("}}", "")
                lines.append(f"| {board.title}: {panel.title} | {what} | {_columns(each)} |")
    return lines, empty


def told_of_panels(empty: Sequence[str], unseen: Mapping[str, str]) -> list[str]:
    """Markdown lines: panels without a value though they should have one, and those that rightly have none."""
    silent = [panel for panel in empty if panel not in unseen]
    return [
        f"- Panels without a value: {'; '.join(silent) or 'none'}.",
        *(f"- Nothing is to be seen in {panel}: {unseen[panel]}." for panel in empty if panel in unseen),
    ]


def _columns(seen: Seen | None) -> str:
    if seen is None:
        return "no value | | |"
    return " | ".join((str(seen.series), *(f"{number:.4g}" for number in seen[1:])))
