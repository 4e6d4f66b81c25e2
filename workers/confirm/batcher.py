"""Collects what many tasks want stored within a few milliseconds into one transaction.

One batch at a time: what is asked for meanwhile makes the next one. A group (a clinic) whose rows somebody else has
locked is set apart and tried by itself until it gets through, and nobody else waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog

from waiting_room.store.faults import is_contention, passes

log = structlog.get_logger(__name__)
I = TypeVar("I")  # noqa: E741 - an item
O = TypeVar("O")  # noqa: E741 - its outcome
LINGER_SECONDS = 0.005
BATCH_MAX = 200
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0


class CannotBeStored(Exception):
    """This very item fails whenever it is tried, alone too: a fault of ours."""


@dataclass(slots=True)
class _Asked(Generic[I, O]):
    item: I
    future: asyncio.Future[O] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher(Generic[I, O]):
    """``store`` makes one transaction of its items and gives their outcomes in the same order.

    What passes (PostgreSQL away, a locked row) is waited out, for as long as it takes.
    """

    def __init__(self, store: Callable[[Sequence[I]], Awaitable[Sequence[O]]], group_of: Callable[[I], str]) -> None:
        self._store = store
        self._group_of = group_of
        self._waiting: deque[_Asked[I, O]] = deque()
        self._apart: dict[str, deque[_Asked[I, O]]] = {}
        self._working = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: I) -> O:
        """The item's outcome, once it is stored. Raises CannotBeStored."""
        asked: _Asked[I, O] = _Asked(item)
        apart = self._apart.get(self._group_of(item))
        if apart is not None:
            apart.append(asked)
        else:
            self._waiting.append(asked)
            if not self._working:
                self._working = True
                self._spawn(self._work_off())
        return await asked.future

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="batch")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_off(self) -> None:
        while self._waiting:
            await asyncio.sleep(LINGER_SECONDS)
            batch = _take(self._waiting, BATCH_MAX)
            if await self._try(batch) is not None:
                for asked in (*batch, *self._waiting):
                    self._set_apart(asked)
                self._waiting.clear()
        self._working = False

    def _set_apart(self, asked: _Asked[I, O]) -> None:
        group = self._group_of(asked.item)
        if group not in self._apart:
            self._apart[group] = deque()
            self._spawn(self._work_off_apart(group))
        self._apart[group].append(asked)

    async def _work_off_apart(self, group: str) -> None:
        queue = self._apart[group]
        at_once, pause = BATCH_MAX, FIRST_PAUSE_SECONDS
        while queue:
            batch = _take(queue, at_once)
            error = await self._try(batch)
            if error is None:
                continue
            if is_contention(error):
                queue.extendleft(reversed(batch))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            elif len(batch) > 1:
                queue.extendleft(reversed(batch))
                at_once = 1
            elif not batch[0].future.done():
                batch[0].future.set_exception(CannotBeStored(f"{type(error).__name__}: {_first_line(error)}"))
        del self._apart[group]

    async def _try(self, batch: Sequence[_Asked[I, O]]) -> Exception | None:
        """Store the batch; what went wrong if waiting alone does not mend it. Ends when nobody waits any more."""
        pause = FIRST_PAUSE_SECONDS
        while not all(asked.future.done() for asked in batch):
            try:
                outcomes = await self._store([asked.item for asked in batch])
            except Exception as error:
                if is_contention(error) or not passes(error):
                    return error
                log.warning("batch_waits", error=type(error).__name__, size=len(batch))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                for asked, outcome in zip(batch, outcomes, strict=True):
                    if not asked.future.done():
                        asked.future.set_result(outcome)
                return None
        return None


def _take(queue: deque[_Asked[I, O]], most: int) -> list[_Asked[I, O]]:
    """The next that somebody still waits for."""
    batch: list[_Asked[I, O]] = []
    while queue and len(batch) < most:
        asked = queue.popleft()
        if not asked.future.done():
            batch.append(asked)
    return batch


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
