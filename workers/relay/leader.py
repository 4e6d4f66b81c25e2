"""One relay publishes, the others stand by: an advisory lock, held by a connection that does nothing else.

A relay that dies loses the lock with its connection, at once. One that is frozen keeps its connection open and
answers nothing, so the server ends a session that was silent for ``SILENCE_SECONDS``; whoever holds the lock speaks
more often than that. Between the moment a frozen relay comes back and the moment it finds its session gone it may
publish what another has published too: readers know repeats by their sequence numbers, and cursors never go back.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import asyncpg
import structlog

from waiting_room.settings import Settings
from waiting_room.store import outbox
from waiting_room.store.faults import passes
from waiting_room.store.pool import SERVER_SETTINGS
from waiting_room.supervise import Task, TaskDied, pause, supervise
from waiting_room.telemetry.health import say_ready

log = structlog.get_logger(__name__)

SILENCE_SECONDS = 6
SPEAK_SECONDS = 1.0
STAND_BY_SECONDS = 0.5


class Leader:
    """Runs tasks while this process holds the lock, as often as it gets it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spoke_at = float("-inf")

    @property
    def certain(self) -> bool:
        """Whether the lock cannot have gone to another yet, even if this process was frozen until just now."""
        return _now() - self._spoke_at < SILENCE_SECONDS - SPEAK_SECONDS

    async def run(self, tasks: dict[str, Task], finish: asyncio.Event) -> None:
        """Stand by, lead, and stand by again when the lock is lost, until told to finish.

        Raises TaskDied when one of ``tasks`` ends for another reason than a lost connection.
        """
        while not finish.is_set():
            try:
                await self._once(tasks, finish)
            except TaskDied as error:
                if error.__cause__ is None or not passes(error.__cause__):
                    raise
                log.warning("relay_no_longer_leads", error=type(error.__cause__).__name__)
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("relay_cannot_ask_for_the_lock", error=type(error).__name__)
                await pause(finish, STAND_BY_SECONDS)

    async def _once(self, tasks: dict[str, Task], finish: asyncio.Event) -> None:
        conn = await asyncpg.connect(
            self._settings.postgres_dsn.get_secret_value(),
            timeout=3,
            command_timeout=3,
            server_settings={
                **SERVER_SETTINGS,
                "application_name": "waiting-room relay lock",
                "idle_session_timeout": f"{SILENCE_SECONDS}s",
            },
        )
        try:
            if await self._stand_by(conn, finish):
                log.info("relay_leads")
                await supervise(
                    finish,
                    {**tasks, "relay lock": partial(self._keep, conn)},
                    shutdown_seconds=self._settings.shutdown_seconds,
                )
        finally:
            conn.terminate()

    async def _stand_by(self, conn: asyncpg.Connection[asyncpg.Record], finish: asyncio.Event) -> bool:
        while not finish.is_set():
            asked_at = _now()
            leads = await outbox.try_to_lead(conn)
            say_ready("relay")
            if leads:
                self._spoke_at = asked_at
                return True
            await pause(finish, STAND_BY_SECONDS)
        return False

    async def _keep(self, conn: asyncpg.Connection[asyncpg.Record], finish: asyncio.Event) -> None:
        while not finish.is_set():
            asked_at = _now()
            await outbox.still_there(conn)
            self._spoke_at = asked_at
            await pause(finish, SPEAK_SECONDS)


def _now() -> float:
    """Seconds that pass while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
