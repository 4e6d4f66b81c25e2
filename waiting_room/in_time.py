"""A time limit that does not count the time in which this process itself looked at nothing.

When a hundred requests come at once the loop is at work on them for longer than a neighbour takes to answer; a timer
that is due meanwhile would take the answer, which has long been there, for one that never came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
TIMES: Final = 20
"""The most that a limit is stretched to, however busy the loop is."""


async def in_time(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns or raises. Raises TimeoutError, and cancels it, when it took so long while we listened, and
    after ``TIMES`` as long in any case.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    try:
        for _ in range(TIMES):
            due = loop.time() + seconds
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if done:
                return task.result()
            if loop.time() - due < seconds:
                break  # we looked when it was due, and there was no answer
        raise TimeoutError
    finally:
        task.cancel()
