"""Several processes at once, each held by id and start time, so that a reused id is never signalled."""

import asyncio
import signal
import time
from collections.abc import Sequence

import psutil

_POLL_SECONDS = 0.02


class StillAlive(RuntimeError):
    """Processes outlived SIGKILL: the kernel holds them, in a disk access for instance."""


def descendants(pid: int) -> list[psutil.Process]:
    """Everything `pid` started and what that started; complete only while `pid` is stopped."""
    return psutil.Process(pid).children(recursive=True)


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Signals each that still exists."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


async def end(processes: Sequence[psutil.Process], deadline_seconds: float = 5.0) -> None:
    """SIGKILL, then waits until the kernel has let go of each. Raises StillAlive."""
    send(processes, signal.SIGKILL)
    deadline = time.monotonic() + deadline_seconds
    while remaining := [process for process in processes if alive(process)]:
        if time.monotonic() > deadline:
            raise StillAlive(f"alive {deadline_seconds:g} s after SIGKILL: {remaining}")
        await asyncio.sleep(_POLL_SECONDS)


def alive(process: psutil.Process) -> bool:
    """A zombie is not: in a container without an init nobody ever reaps it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
