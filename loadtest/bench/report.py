"""What a benchmark leaves: a table for people and ``.run/bench/NAME.json`` for machines."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parents[2] / ".run" / "bench"
WIDTH = 140
"""Where there is no terminal to ask."""


class Result(msgspec.Struct, kw_only=True):
    """One measured value against one promise. ``passed`` is written as ``pass``; ``peer`` holds what others reach.

    ``rows`` are further measured figures by name, for the table; ``value`` is always measured in this run.
    """

    name: str
    promise: str
    target: str
    value: float
    unit: str
    passed: bool = msgspec.field(name="pass")
    seed: int
    duration_seconds: float
    peer: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    notes: list[str] = []


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def show(result: Result, on: dict[str, Any]) -> Path:
    """Print the table, write the file; its path."""
    table = Table(title=f"{result.name}: {result.promise}", title_justify="left", show_header=False)
    verdict = "[green]pass[/green]" if result.passed else "[bold red]MISSED[/bold red]"
    table.add_row("value", f"{result.value:.4g} {result.unit}  (target {result.target})  {verdict}")
    for name, value in {**result.rows, **{f"peer: {name}": value for name, value in result.peer.items()}}.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    for note in result.notes:
        table.add_row("note", note)
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table, highlight=False)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{result.name}.json"
    whole = {**msgspec.to_builtins(result), "machine": on, "measured_at": datetime.now(UTC).isoformat()}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(whole)))
    return path
