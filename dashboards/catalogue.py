"""Which metrics there are, who reads them, and what is wrong between the two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from dashboards.board import CLINICS, DEPLOYS, OUTAGES, Board
from dashboards.promql import NotPromql, selectors
from dashboards.rule_files import Rule
from waiting_room.telemetry import metrics

UNREAD: Final[Mapping[str, str]] = {}
"""Metrics that no board and no rule reads, and why they are there all the same."""

FOREIGN: Final[Mapping[str, frozenset[str]]] = {
    "process_start_time_seconds": frozenset(),
    "process_cpu_seconds_total": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate"}),
}
"""Series that are not ours: prometheus-client's of every process, and Prometheus's own; with their labels."""

_TARGET: Final = frozenset({"job", "instance"})
"""Labels that Prometheus adds to whatever it scrapes."""


class Metric(NamedTuple):
    name: str
    kind: str
    labels: tuple[str, ...]
    says: str
    series: Mapping[str, frozenset[str]]
    """What it is scraped as: names, and the labels each may have."""


class Reader(NamedTuple):
    """A panel or a rule, and what it asks."""

    name: str
    expr: str


def known() -> list[Metric]:
    """Every metric of metrics.py, in its order."""
    return [_metric(each) for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]


def readers(boards: Iterable[Board], rules: Iterable[Rule]) -> list[Reader]:
    """Whoever asks Prometheus something."""
    return [
        *(Reader(rule.name, rule.expr) for rule in rules),
        *(
            Reader(f"{board.title}: {panel.title}", query.expr)
            for board in boards
            for panel in board.panels
            for query in panel.queries
        ),
        *(Reader(f"{board.title}: choice of clinics", CLINICS) for board in boards if board.by_clinic),
        Reader("every board: deploys", DEPLOYS),
        Reader("every board: outages", OUTAGES),
    ]


def read_by(all_readers: Iterable[Reader]) -> dict[str, list[str]]:
    """By metric of ours, who reads it. Raises NotPromql."""
    names: dict[str, list[str]] = {metric.name: [] for metric in known()}
    metric_of = {series: metric.name for metric in known() for series in metric.series}
    for reader in all_readers:
        for name in sorted({metric_of[each.name] for each in selectors(reader.expr) if each.name in metric_of}):
            names[name].append(reader.name)
    return names


def mistakes(boards: Iterable[Board], rules: Iterable[Rule]) -> list[str]:
    """One line each: what is read and does not exist, what exists and is not read, what is no PromQL."""
    rules = list(rules)
    there: dict[str, frozenset[str] | None] = {rule.name: None for rule in rules if not rule.alert}
    for metric in known():
        there |= metric.series
    there |= FOREIGN
    found: list[str] = []
    asked: list[Reader] = []
    for reader in readers(boards, rules):
        try:
            read = selectors(reader.expr)
        except NotPromql as error:
            found.append(f"{reader.name}: {error}")
            continue
        asked.append(reader)
        for name, labels in sorted(read):
            if name not in there:
                found.append(f"{reader.name} reads {name}, which nobody tells")
            elif (known_labels := there[name]) is not None and (strange := labels - known_labels - _TARGET):
                found.append(f"{reader.name} selects {name} by {', '.join(sorted(strange))}, which it has not")
    for name, by in read_by(asked).items():
        if not by and name not in UNREAD:
            found.append(f"{name} is read by no board and no rule; give it a reader or UNREAD a reason")
        if by and name in UNREAD:
            found.append(f"{name} is read by {by[0]}; take its reason out of UNREAD")
    return found


def _metric(collector: MetricWrapperBase) -> Metric:
    [family] = collector.describe()
    labels = frozenset(collector._labelnames)
    match collector:
        case Counter():
            kind, series = "counter", {f"{family.name}_total": labels}
        case Histogram():
            kind = "histogram"
            series = {f"{family.name}_{part}": labels for part in ("count", "sum")}
            series[f"{family.name}_bucket"] = labels | {"le"}
        case Gauge():
            kind, series = "gauge", {family.name: labels}
        case _:
            raise TypeError(f"{family.name} is of a kind that nobody reads here")
    name = next(iter(series)) if kind == "counter" else family.name
    return Metric(name, kind, tuple(collector._labelnames), family.documentation, series)
