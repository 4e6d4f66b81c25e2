"""The demo's picture: drawn live on a terminal, printed now and then where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from devstack.demo.watch import Line, Snapshot
from waiting_room.messages import ClinicPulse

BAR = 28
MARKS = {"slow": "4x slower", "down": "down for 30 s", "healthy": ""}


def picture(
    clinics: list[dict[str, Any]],
    snapshot: Snapshot,
    pulses: Mapping[str, ClinicPulse],
    accept: str,
    second: float,
) -> RenderableType:
    """Everything at once: what patients saw, where every booking is, each clinic's line."""
    return Group(
        Panel(_summary(snapshot, accept), title=f"Waiting Room: Monday 08:00 + {second:.0f} s", title_align="left"),
        _clinic_table(clinics, snapshot, pulses),
    )


def _summary(snapshot: Snapshot, accept: str) -> Text:
    decided = sum(line.decided_lately for line in snapshot.lines.values()) / 3
    return Text.assemble(
        ("accept    ", "bold"), f"{accept}\n",
        ("bookings  ", "bold"),
        (f"{snapshot.confirmed} confirmed", "green"), "  ",
        (f"{snapshot.pending} waiting", "yellow"), "  ",
        f"{snapshot.rejected} rejected  {snapshot.cancelled} cancelled   {decided:.0f} decided/s\n",
        ("webhooks  ", "bold"), f"{snapshot.delivered} of {snapshot.deliveries} delivered\n",
        ("patients  ", "bold"), f"{snapshot.told} of {snapshot.to_tell} told",
    )  # fmt: skip


def _clinic_table(clinics: list[dict[str, Any]], snapshot: Snapshot, pulses: Mapping[str, ClinicPulse]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for heading in ("clinic", "line", "", "calls", "oldest", "last ETA", "decided", ""):
        table.add_column(heading, justify="left" if heading in ("", "clinic") else "right")
    longest = max((line.line for line in snapshot.lines.values()), default=0) or 1
    for clinic in clinics[:30]:
        line, pulse = snapshot.lines.get(clinic["id"], Line()), pulses.get(clinic["id"])
        table.add_row(
            clinic["id"],
            str(line.line),
            Text("█" * round(line.line / longest * BAR), style="yellow"),
            str(line.calling),
            "" if line.oldest_seconds is None else f"{line.oldest_seconds:.0f} s",
            _last_in_line(line, pulse),
            str(line.decided),
            _mark(clinic, pulse),
        )
    return table


def _last_in_line(line: Line, pulse: ClinicPulse | None) -> str:
    """What the last patient in line is told, roughly: the line over what the clinic takes at once."""
    if not line.line:
        return ""
    if pulse is None or pulse.breaker_open or not pulse.limit or not pulse.call_seconds:
        return "unknown"
    return f"{line.line / pulse.limit * pulse.call_seconds:.0f} s"


def _mark(clinic: dict[str, Any], pulse: ClinicPulse | None) -> Text:
    if pulse is not None and pulse.breaker_open:
        return Text("● breaker open", style="bold red")
    return Text(MARKS[clinic["kind"]], style="dim")


def figures_table(figures: Mapping[str, Any]) -> Table:
    """The end: one line a figure."""
    table = Table(box=None, padding=(0, 2), show_header=False)
    for name, value in figures.items():
        if not isinstance(value, dict | list):
            shown = f"{value:.3g}" if isinstance(value, float) else str(value)
            table.add_row(name, shown, style="bold red" if value is False else "")
    return table
