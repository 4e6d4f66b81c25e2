"""docs/metrics.md: every metric and who reads it."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.board import Board
from dashboards.catalogue import UNREAD, known, read_by, readers
from dashboards.rule_files import Rule

_HEAD = """\
# Metrics

Every metric of `waiting_room/telemetry/metrics.py` and who reads it. This page is written by `python -m dashboards`;
a test compares them, and fails for a metric that nobody reads and for a panel or rule that reads what is not told.

**Where to scrape.** Ingress serves `/metrics` on its own port, every worker on `WAITING_ROOM_METRICS_PORT`. Several
ingress processes of one host share a port with `WAITING_ROOM_INGRESS_SHARE_PORT=true`; then each is given a
`WAITING_ROOM_METRICS_PORT` of its own and is scraped there, as a target of its own: no process adds up another's
numbers, none waits for another's files, and one that is gone is seen to be gone. `sum` and `max` in the rules do the
adding up, over all that one Prometheus scrapes: give each deployment (production, staging) its own, or its own rules.

**How many series.** No label grows with patients or bookings. `clinic` is set for at most 50 clinics a process: those
that are down, then those with the longest lines or waits; totals and quantiles over all clinics stand beside them.
`partition` grows with the topics' partitions, each told of by the one worker that reads it.

**Where rules and boards are.** Rules for Prometheus: `dashboards/rules/*.yaml` (`slo.yaml`, `recording.yaml`,
`alerts.yaml`), their tests in `dashboards/rules/tests/`. Boards for Grafana: `dashboards/json/`, written by
`python -m dashboards` from `dashboards/boards/`, with `dashboards/provisioning/` to have Grafana load them. Each alert
has its page in [runbooks](runbooks). The autoscaler reads `waiting_room:confirm_workers_desired`.

**Logs and traces beside them.** Every outcome has one line that holds all that is known of it: `decided` of a booking,
`clinic_call` and `eligibility` of a question asked, `webhook` and `notification` of a try to tell somebody. Each names
`booking_ref` and `clinic_id`, with traces on `trace_id` too, and no patient. A point of a wait's histogram leads to the
trace of a booking that waited so long.

| metric | kind | labels | meaning | read by |
|---|---|---|---|---|
"""


def metrics_page(boards: Sequence[Board], rules: Sequence[Rule]) -> str:
    """The page's text."""
    by = read_by(readers(boards, rules))
    rows = []
    for metric in known():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        read = "; ".join(_shown(name) for name in by[metric.name]) or f"nobody: {UNREAD.get(metric.name, '?')}"
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.says} | {read} |")
    return _HEAD + "\n".join(rows) + "\n"


def _shown(reader: str) -> str:
    return f"`{reader}`" if " " not in reader else reader
