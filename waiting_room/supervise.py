"""Runs a process's long tasks by name: when one dies the process stops, when it is told to stop all of them do."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)
Task = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class TaskDied(Exception):
    """A supervised task ended although nobody had asked it to."""


async def pause(finish: asyncio.Event, seconds: float) -> None:
    """Sleep, but no longer than until ``finish`` is set."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    try:
        await asyncio.wait_for(finish.wait(), seconds)
    except TimeoutError:
        return


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set. A second signal has its default effect."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask(which: signal.Signals) -> None:
        log.info("stopping", signal=which.name)
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, ask, each)
    return stop


async def supervise(stop: asyncio.Event, tasks: dict[str, Task], *, shutdown_seconds: float) -> None:
    """Run ``tasks`` until ``stop`` is set, then give them ``shutdown_seconds`` to return before they are cancelled.

    Each task gets an event that tells it to finish. Raises TaskDied, with the cause, when one ends before that.
    """
    finish = asyncio.Event()
    running = {asyncio.create_task(task(finish), name=name) for name, task in tasks.items()}
    asked = asyncio.create_task(stop.wait(), name="stop asked")
    try:
        done, _ = await asyncio.wait({asked, *running}, return_when=asyncio.FIRST_COMPLETED)
        finish.set()
        late = running - done
        if late:
            _, late = await asyncio.wait(late, timeout=shutdown_seconds)
        for task in late:
            log.warning("task_cancelled_at_shutdown", task=task.get_name())
        died = None if asked in done else next(iter(done))
        if died is not None:
            raise TaskDied(died.get_name()) from died.exception()
        for task in running - late:
            if (error := task.exception()) is not None:
                raise TaskDied(task.get_name()) from error
    finally:
        asked.cancel()
        for task in running:
            task.cancel()
        await asyncio.gather(asked, *running, return_exceptions=True)
