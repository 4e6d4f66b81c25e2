"""Starts what the lanes let start, again after everything that happens and whenever a lane's time has come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from workers.confirm.standstill import LOOK_EVERY_SECONDS
from workers.pacing.lanes import Lanes
from workers.pacing.work import Work

log = structlog.get_logger(__name__)
SHORTEST_ALARM_SECONDS = 0.001


class Runner:
    """Each work that starts is one task. ``begins`` is called before each round, at least every LOOK_EVERY_SECONDS;
    ``changed`` after it, for pauses that may be due.
    """

    def __init__(
        self,
        lanes: Lanes,
        run: Callable[[Work], Awaitable[None]],
        begins: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._lanes = lanes
        self._run = run
        self._begins = begins
        self._changed = changed
        self._under_way: set[asyncio.Task[None]] = set()
        self._round: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._stopped = False

    def look_again(self) -> None:
        """Something has happened to the lanes; however often this is said in one turn of the loop, it is one round."""
        if self._round is None and not self._stopped:
            self._round = asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._round = None
        self._begins()
        now = time.monotonic()
        for work in self._lanes.next(now):
            task = asyncio.create_task(self._one(work), name=f"confirm {work.booking_ref}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        self._changed()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        wake_at = self._lanes.wake_at()
        after = LOOK_EVERY_SECONDS if wake_at is None else min(wake_at - now, LOOK_EVERY_SECONDS)
        self._alarm = asyncio.get_running_loop().call_later(max(after, SHORTEST_ALARM_SECONDS), self.look_again)

    async def _one(self, work: Work) -> None:
        try:
            await self._run(work)
        finally:
            self.look_again()

    async def drain(self, seconds: float) -> None:
        """Start nothing more and let what is under way end, for ``seconds`` at the most."""
        self._lanes.stop()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)

    async def stop(self) -> None:
        """Hand back what is still under way: its claims' leases run out, and the next owner asks the clinics."""
        self._stopped = True
        for handle in (self._alarm, self._round):
            if handle is not None:
                handle.cancel()
        if self._under_way:
            log.warning("handed_back", calls=len(self._under_way))
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
