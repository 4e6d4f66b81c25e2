"""Programs the development stack starts, watches, hurts on purpose and ends."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

_LAUNCH = Path(__file__).with_name("launch.py")
_POLL_SECONDS = 0.02
_TAIL_LINES = 25

Ready = Callable[[], Awaitable[bool]]


class ProcessFailed(RuntimeError):
    """A program ended or stayed unready; the message carries the last lines of its log."""


class Process:
    """One program in a session of its own, so that Ctrl-C in a terminal reaches only us, who then end it in order.

    It dies with us, even when we die by kill -9 (on Linux; what it starts itself is its own business).
    Standard output and error are appended to `log_file`. `ready` is asked until it says yes; `ready_url` is
    the usual answer to that: an HTTP GET that gives 200. `user` is the account to become when we are root.

    Not tied to an event loop. Start it from the main thread: Linux ends the child with the thread that
    started it, not with the process. `nice` is added to our own level.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log_file: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        nice: int = 0,
        user: str | None = None,
        ready_url: str | None = None,
        ready: Ready | None = None,
        ready_timeout_seconds: float = 120.0,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.argv = [str(argument) for argument in argv]
        self.log_file = log_file or Path(".run/logs") / f"{name}.log"
        self.env = env
        self._cwd = cwd
        self._nice = nice
        self._user = user
        self._ready = ready or (_http_ready(ready_url) if ready_url else None)
        self._ready_timeout_seconds = ready_timeout_seconds
        self._stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._frozen = False

    @property
    def running(self) -> bool:
        """Whether the program has been started and has not ended; a frozen one is running."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running program."""
        return self._running_child().pid

    @property
    def returncode(self) -> int | None:
        """How the last run ended, as in `subprocess`; None while it runs and before the first start."""
        return None if self._child is None else self._child.poll()

    async def start(self) -> None:
        """Returns when the program is ready. Raises ProcessFailed, and then nothing is left running."""
        self.spawn()
        try:
            await self._wait_until_ready()
        except BaseException:
            await self.kill()
            raise

    def spawn(self) -> None:
        """Starts the program and returns at once."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{self.name} must be started from the main thread, or it dies with this one")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        launch = [sys.executable, "-I", "-S", str(_LAUNCH)]
        options = [str(os.getpid()), self._user or "-", str(self._nice)]
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._frozen = False
            self._child = subprocess.Popen(
                [*launch, *options, *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self._cwd,
                start_new_session=True,
            )

    async def stop(self, deadline_seconds: float = 10.0) -> None:
        """Asks the program to end, waits, and kills it when the deadline passes."""
        if not self.running:
            return
        child = self._running_child()
        child.send_signal(self._stop_signal)
        self.thaw()
        try:
            await self.wait(deadline_seconds)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL to the program and its process group; returns when the program is gone."""
        if self.running:
            self._signal_group(signal.SIGKILL)
            await self.wait()

    def freeze(self) -> None:
        """SIGSTOP: alive for the kernel, deaf to everyone else; returns when the program stands still."""
        child = self._running_child()
        self._signal_group(signal.SIGSTOP)
        self._frozen = True
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """Undoes `freeze`; without one, does nothing."""
        if self._frozen and self.running:
            self._signal_group(signal.SIGCONT)
        self._frozen = False

    async def restart(self, deadline_seconds: float = 10.0) -> None:
        """`stop` where needed, then `start` with the same arguments."""
        await self.stop(deadline_seconds)
        await self.start()

    async def wait(self, timeout_seconds: float | None = None) -> int:
        """Waits for the end of this run, though another may be started meanwhile, and returns its exit code.

        Raises TimeoutError.
        """
        child = self._child
        assert child is not None, "wait before start"
        async with asyncio.timeout(timeout_seconds):
            while (status := child.poll()) is None:
                await asyncio.sleep(_POLL_SECONDS)
        return status

    async def expect_success(self, timeout_seconds: float) -> None:
        """Waits for a program that ends by itself. Raises ProcessFailed unless it succeeds in time."""
        try:
            status = await self.wait(timeout_seconds)
        except TimeoutError:
            await self.kill()
            raise self._failure(f"took longer than {timeout_seconds:g} s") from None
        except BaseException:
            await self.kill()
            raise
        if status != 0:
            raise self._failure(f"ended with exit code {status}")

    def log_tail(self) -> str:
        """The last lines written since the last start."""
        with self.log_file.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - 16_384))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    async def _wait_until_ready(self) -> None:
        if self._ready is None:
            return
        deadline = time.monotonic() + self._ready_timeout_seconds
        while True:
            if not self.running:
                raise self._failure(f"ended with exit code {self.returncode}")
            if await self._ready():
                return
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {self._ready_timeout_seconds:g} s")
            await asyncio.sleep(_POLL_SECONDS)

    def _failure(self, what: str) -> ProcessFailed:
        return ProcessFailed(f"{self.name} {what}; the end of {self.log_file}:\n{self.log_tail()}")

    def _running_child(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            raise RuntimeError(f"{self.name} is not running")
        return self._child

    def _signal_group(self, number: signal.Signals) -> None:
        # Until the child is reaped its id, which is also its group's, cannot belong to anybody else.
        os.killpg(self._running_child().pid, number)


def _http_ready(url: str) -> Ready:
    async def ready() -> bool:
        limit = aiohttp.ClientTimeout(total=5.0)
        try:
            async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return ready
