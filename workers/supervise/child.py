"""One confirm worker as a process of its own: started, started again when it dies, told to leave in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import aiohttp
import structlog
from prometheus_client.parser import text_string_to_metric_families

from waiting_room.settings import PREFIX
from waiting_room.supervise import pause

log = structlog.get_logger(__name__)
NEEDED = "waiting_room_confirm_calls_needed"
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
STEADY_SECONDS = 60.0
"""One that ran for so long did not die of what the one before it died of."""
DEAF_SECONDS = 30.0
"""A worker that has not answered for so long holds its place for nothing: it is killed and started again."""


class Child:
    """``needed``: the calls its clinics need, as it last said. Give ``run`` a task; it ends when ``leave`` was called.

    ``died`` is called when it has ended although nobody had asked it to. Start it from the main thread: the kernel
    kills it when the thread that started it ends.
    """

    def __init__(self, worker_id: str, metrics_host: str, *, leave_seconds: float, died: Callable[[], None]) -> None:
        self.worker_id = worker_id
        self.needed = 0.0
        self.running = False
        self._host = metrics_host
        self.port: int | None = None
        """Where it serves its metrics, while it runs."""
        self._url = ""
        self._heard_at = 0.0
        self._leave_seconds = leave_seconds
        self._died = died
        self._leaving = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Keep it running until it is to leave; returns when it is gone."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while not self._leaving.is_set():
            started = time.monotonic()
            status = await self._run_once()
            if self._leaving.is_set():
                break
            if time.monotonic() - started >= STEADY_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            log.error("worker_died", worker=self.worker_id, status=status, again_seconds=pause_seconds)
            self._died()
            await pause(self._leaving, pause_seconds)
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        log.info("worker_left", worker=self.worker_id)

    def leave(self) -> None:
        """Have it finish what it has under way and end; it is killed if it takes longer than ``leave_seconds``."""
        self._leaving.set()

    async def ask(self, session: aiohttp.ClientSession) -> bool:
        """Whether it has said what its clinics need. One that says nothing for very long is killed."""
        try:
            async with session.get(self._url) as response:
                self.needed = _needed(await response.text())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            if self.running and time.monotonic() - self._heard_at > DEAF_SECONDS:
                log.error("worker_deaf", worker=self.worker_id)
                self._signal(signal.SIGKILL)
            return False
        self._heard_at = time.monotonic()
        return True

    async def _run_once(self) -> int | str:
        """Run the process to its end; its exit status, or why it could not be started."""
        try:
            self._process = await self._start()
        except OSError as error:
            return str(error)
        self.running = True
        ended = asyncio.create_task(self._process.wait(), name=f"end of {self.worker_id}")
        leaving = asyncio.create_task(self._leaving.wait(), name=f"leaving of {self.worker_id}")
        try:
            await asyncio.wait({ended, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                self._signal(signal.SIGTERM)
                await asyncio.wait({ended}, timeout=self._leave_seconds)
            if not ended.done():
                log.warning("worker_killed", worker=self.worker_id, after_seconds=self._leave_seconds)
                self._signal(signal.SIGKILL)
            return await ended
        finally:
            self._signal(signal.SIGKILL)
            # Its clinics are others' now, who say what they need.
            self.running, self.needed, self.port = False, 0.0, None
            for task in (ended, leaving):
                task.cancel()

    async def _start(self) -> asyncio.subprocess.Process:
        """Raises OSError."""
        with _bound(self._host) as mine:
            port: int = mine.getsockname()[1]
            host = f"[{self._host}]" if ":" in self._host else self._host
            self._url, self._heard_at = f"http://{host}:{port}/metrics", time.monotonic()
            own = {PREFIX + "WORKER_ID": self.worker_id, PREFIX + "METRICS_PORT": str(port)}
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "workers", "confirm",
                "--parent", str(os.getpid()), "--metrics-socket", str(mine.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, **own},
                pass_fds=(mine.fileno(),),
                start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which ends its workers in order
            )  # fmt: skip
        self.port = port
        log.info("worker_started", worker=self.worker_id, pid=process.pid, metrics_port=port)
        return process

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(which)


def _needed(text: str) -> float:
    """Raises ValueError if the worker does not say."""
    for family in text_string_to_metric_families(text):
        if family.name == NEEDED:
            return float(family.samples[0].value)
    raise ValueError(NEEDED)


def _bound(host: str) -> socket.socket:
    """To a port that nobody else can take from now on. Its worker listens: until then it refuses. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    mine = socket.socket(family, socket.SOCK_STREAM)
    try:
        mine.bind((host, 0))
    except BaseException:
        mine.close()
        raise
    return mine
