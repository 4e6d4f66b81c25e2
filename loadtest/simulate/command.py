"""``python -m loadtest simulate``: a Monday at national scale, in virtual time; and what it takes to carry it."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from loadtest.simulate.monday import EIGHT, HOUR, Monday
from loadtest.simulate.run import Outcome, percentile, run
from loadtest.simulate.scaling import ByWait, Fixed
from loadtest.simulate.world import Rules

SHARES = (0.5, 0.9, 0.99, 1.0)
MOST_PARTITIONS, MOST_WORKERS = 512, 64
COMMIT_SECONDS = 10.0
"""Of virtual time: a day has many, and nothing crashes here."""


def simulate(
    clinics: Annotated[int, typer.Option(min=1, help="Clinics in the country.")] = 10_000,
    bookings: Annotated[int, typer.Option(min=1, help="Bookings in the day, most of them after eight.")] = 500_000,
    seed: Annotated[int, typer.Option(help="The same seed, the same day.")] = 1,
    calls: Annotated[int, typer.Option(min=1, help="Clinic calls one worker carries at once.")] = 100,
    workers: Annotated[int, typer.Option(min=0, help="So many workers; 0: as many as are wanted at each moment.")] = 0,
    target_wait: Annotated[float, typer.Option(min=1, help="Seconds; what workers are wanted for.")] = 60.0,
    plan: Annotated[bool, typer.Option("--plan", help="Say how many workers and partitions this load needs.")] = False,
) -> None:
    """The product's own pacing with simulated clinics: waits by class of clinic, workers over time, cost."""
    began = time.monotonic()
    rules = Rules(partitions=min(MOST_PARTITIONS, clinics), calls_max=calls, commit_seconds=COMMIT_SECONDS)
    monday = Monday.of(clinics, seed)
    scaling = Fixed(workers, target_wait) if workers else ByWait(MOST_WORKERS, target_wait)
    outcome = run(monday, bookings, seed, rules, scaling=scaling)
    console = Console(width=None if sys.stdout.isatty() else 160)
    _show_waits(console, outcome, clinics, seed)
    _show_workers(console, outcome)
    _show_figures(console, outcome)
    if plan:
        _show_plan(console, outcome, monday, bookings, seed, rules, target_wait)
    console.print(f"simulated in {time.monotonic() - began:.0f} s", style="dim")


def _show_waits(console: Console, outcome: Outcome, clinics: int, seed: int) -> None:
    title = f"{outcome.accepted:,} bookings at {clinics:,} clinics, seed {seed}: seconds until"
    table = Table(title=title, title_justify="left")
    for name in ("clinics", "bookings", "first call: p50", "p90", "p99", "max", "decided: p50", "p90", "p99", "max"):
        table.add_column(name, justify="left" if name == "clinics" else "right")
    for kind, decided in outcome.decide_waits.items():
        called = outcome.confirm_waits.get(kind, [])
        waits = [f"{percentile(values, share):,.1f}" for values in (called, decided) for share in SHARES]
        table.add_row(kind, f"{len(decided):,}", *waits)
    console.print(table)


def _show_workers(console: Console, outcome: Outcome) -> None:
    """The most wanted and running in each half hour of the morning, each hour later."""
    table = Table(title="confirm workers", title_justify="left")
    for name in ("from", "wanted", "running"):
        table.add_column(name, justify="right")
    slots: dict[float, tuple[int, int]] = {}
    for moment, wanted, running in outcome.workers:
        width = HOUR / 6 if EIGHT - HOUR <= moment < EIGHT + 3 * HOUR else 2 * HOUR
        slot = moment // width * width
        most = slots.get(slot, (0, 0))
        slots[slot] = max(most[0], wanted), max(most[1], running)
    for slot, (wanted, running) in sorted(slots.items()):
        table.add_row(f"{int(slot // HOUR):02}:{int(slot % HOUR // 60):02}", str(wanted), str(running))
    console.print(table)


def _show_figures(console: Console, outcome: Outcome) -> None:
    decided = sum(map(len, outcome.decide_waits.values()))
    table = Table(show_header=False)
    rows = {
        "confirmed, rejected, waiting": f"{outcome.confirmed:,}, {outcome.rejected:,}, {outcome.waiting:,}",
        "refused and told when to come back; let in then": f"{outcome.refused:,}; {outcome.let_in_when_told:,}",
        "clinic calls a booking": f"{outcome.calls / max(decided, 1):.3f}",
        "worker-hours; worker-seconds per 1,000 bookings": f"{outcome.worker_seconds / HOUR:.1f}; "
        f"{1_000 * outcome.worker_seconds / max(decided, 1):,.0f}",
        "rebalances": str(outcome.rebalances),
        "ETA: decided within p90": f"{outcome.eta_within / max(outcome.eta_told, 1):.3f}",
        "ETA: median error of waits over 10 s": f"{percentile(outcome.eta_errors, 0.5):.3f}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def _show_plan(
    console: Console, outcome: Outcome, monday: Monday, bookings: int, seed: int, rules: Rules, target_wait: float
) -> None:
    """The fewest workers, all day, that keep healthy clinics' waits within the target; found by halving."""
    most = max(wanted for _, wanted, _ in outcome.workers)
    fewest, enough = 1, most
    while fewest < enough:
        middle = (fewest + enough) // 2
        tried = run(monday, bookings, seed, rules, scaling=Fixed(middle, target_wait), until=EIGHT + HOUR)
        if percentile(tried.confirm_waits.get("healthy", []), 0.99) <= target_wait:
            enough = middle
        else:
            fewest = middle + 1
    on_average = outcome.worker_seconds / max(len(outcome.workers) * 10.0, 1.0)
    partitions = rules.partitions
    clinics = len(monday.behaviours)
    console.print(
        f"plan: {most} workers of {rules.calls_max} calls at the peak as they are wanted "
        f"({on_average:.1f} on average); {enough} all day keep the healthy clinics' p99 wait within {target_wait:g} s\n"
        f"plan: {partitions} partitions, {clinics / partitions:.0f} clinics each: one to a clinic as far as "
        f"{MOST_PARTITIONS} go, never fewer than workers"
    )
