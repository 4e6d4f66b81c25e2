"""Whose CPU a load costs: each process of a stack, with what it has started."""

from __future__ import annotations

import psutil

from devstack.stack import Stack


def of(pid: int) -> float:
    """CPU seconds of a process and its children so far; those that have ended are left out."""
    process = psutil.Process(pid)
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def of_stack(stack: Stack) -> dict[str, float]:
    """By name: every part that runs."""
    pids = {name: process.pid for name, process in stack.processes.items() if process.running}
    if stack.kafka is not None:
        pids["kafka"] = stack.kafka.pid
    if stack.postgres is not None:
        pids["postgres"] = stack.postgres.pid
    return {name: of(pid) for name, pid in pids.items()}


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """CPU seconds between two looks, the largest first."""
    used = {name: after[name] - before[name] for name in after if name in before}
    return dict(sorted(used.items(), key=lambda item: -item[1]))
