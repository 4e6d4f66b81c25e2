"""How late the event loop runs a timer: what everything in the process waits for before its own turn comes."""

from __future__ import annotations

import asyncio

from waiting_room.supervise import pause
from waiting_room.telemetry import metrics

LAG_EVERY_SECONDS = 0.5


class LoopLag:
    """``seconds`` as last measured."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self, finish: asyncio.Event) -> None:
        """Measure until told to finish."""
        loop = asyncio.get_running_loop()
        while not finish.is_set():
            due = loop.time() + LAG_EVERY_SECONDS
            await pause(finish, LAG_EVERY_SECONDS)
            if not finish.is_set():
                self.seconds = max(loop.time() - due, 0.0)
                metrics.LOOP_LAG.observe(self.seconds)
