"""What a board says: rows of panels, each with its question to Prometheus. Plain values; ``render.py`` draws them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["lines", "stack", "stat", "heat", "table"]
WIDTH = 24
"""Of a board, in Grafana's columns."""

CLINIC = "$clinic"
"""In an expression: the clinics chosen at the top of the board, as a regular expression."""


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and what its series are called: text with ``{{label}}``."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """``says``: what is seen, and when it is good. ``unit``: one of Grafana's. ``promise``: the bound that DESIGN or an
    alert sets, drawn as a line; ``least``: it is a lower bound. ``alert``: whose page in docs/runbooks goes with it.
    """

    title: str
    says: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    promise: float | None = None
    least: bool = False
    alert: str | None = None
    width: int = 8


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """``uid`` is its address in Grafana and its file's name."""

    uid: str
    title: str
    says: str
    rows: tuple[Row, ...]
    by_clinic: bool = False
    """Whether clinics can be chosen at its top."""

    @property
    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels


DEPLOYS = "changes(process_start_time_seconds[1m]) > 0 and on (job, instance) waiting_room_event_loop_lag_seconds_count"
"""Annotation on every board: a process of ours began to run."""
OUTAGES = 'ALERTS{alertname=~"ClinicDown|ManyClinicsDown", alertstate="firing"}'
"""Annotation on every board: clinics that do not answer."""
CLINICS = "waiting_room_clinic_line"
"""Whose ``clinic`` labels can be chosen."""


def quantiles(metric: str, *qs: str, labels: str = "") -> tuple[Query, ...]:
    """Quantiles (``"0.99"``) of a histogram over five minutes, all processes together."""
    return tuple(
        Query(f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{labels}[5m])))", f"p{float(q) * 100:g}")
        for q in qs
    )


def worst_clinics(metric: str, count: int, labels: str = "") -> Query:
    """The greatest of a per-clinic metric; several processes may tell of one clinic."""
    return Query(f"topk({count}, max by (clinic) ({metric}{labels}))", "{{clinic}}")


def rate_by(label: str, metric: str, window: str = "1m") -> Query:
    """A counter's rate by one label, all processes together."""
    return Query(f"sum by ({label}) (rate({metric}[{window}]))", f"{{{{{label}}}}}")
