"""Programs of the stack: started until ready, hurt on purpose, gone when we are."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from devstack.ports import free_port
from devstack.process_tree import alive
from devstack.processes import Process, ProcessFailed

_ROOT = Path(__file__).parents[2]
_SLEEP = ["sleep", "600"]


def _python(tmp_path: Path, code: str, **options: object) -> Process:
    return Process("probe", [sys.executable, "-c", code], log_file=tmp_path / "probe.log", **options)  # type: ignore[arg-type]


async def _gone(pid: int) -> None:
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    async with asyncio.timeout(60):
        while alive(process):
            await asyncio.sleep(0.02)


async def test_start_waits_for_the_url(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    argv = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    server = Process("files", argv, log_file=tmp_path / "files.log", cwd=tmp_path, ready_url=url)
    await server.start()
    first = server.pid
    assert "GET /" in server.log_tail()
    await server.restart()
    assert server.pid != first
    await server.stop()
    assert server.returncode == -signal.SIGTERM


async def test_a_program_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    not_yet = {"ready_url": "http://127.0.0.1:1/", "ready_timeout_seconds": 3_600.0}
    broken = _python(tmp_path, "import sys; sys.exit('no such table')", **not_yet)
    async with asyncio.timeout(60):  # and does not wait for it to be ready
        with pytest.raises(ProcessFailed, match=r"exit code 1(.|\n)*no such table"):
            await broken.start()


async def test_a_program_that_stays_unready_is_ended(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    stuck = Process("stuck", _SLEEP, log_file=tmp_path / "log", ready=never, ready_timeout_seconds=0.2)
    with pytest.raises(ProcessFailed, match="not ready after"):
        await stuck.start()
    assert not stuck.running


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    missing = Process("missing", ["no-such-program"], log_file=tmp_path / "log")
    missing.spawn()
    with pytest.raises(ProcessFailed, match="cannot start no-such-program"):
        await missing.expect_success(60)


async def test_stop_kills_after_the_deadline(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    stubborn = _python(tmp_path, code)
    stubborn.spawn()
    async with asyncio.timeout(60):
        while "1" not in stubborn.log_tail():
            await asyncio.sleep(0.02)
    await stubborn.stop(deadline_seconds=0.2)
    assert stubborn.returncode == -signal.SIGKILL


async def test_frozen_and_thawed(tmp_path: Path) -> None:
    sleeper = Process("sleeper", _SLEEP, log_file=tmp_path / "log")
    await sleeper.start()
    sleeper.freeze()
    assert psutil.Process(sleeper.pid).status() == psutil.STATUS_STOPPED
    sleeper.thaw()
    assert psutil.Process(sleeper.pid).status() != psutil.STATUS_STOPPED
    sleeper.freeze()
    await sleeper.stop()
    assert sleeper.returncode == -signal.SIGTERM, "a frozen program is stopped in order too"


async def test_kill_takes_what_it_started_along(tmp_path: Path) -> None:
    code = "import subprocess; c = subprocess.Popen(['sleep', '600']); print(c.pid, flush=True); c.wait()"
    parent = _python(tmp_path, code)
    parent.spawn()
    async with asyncio.timeout(60):
        while not (line := parent.log_tail()):
            await asyncio.sleep(0.02)
    await parent.kill()
    await _gone(int(line))


async def test_nice_level_and_environment(tmp_path: Path) -> None:
    code = "import os; print(os.nice(0), os.environ['GREETING'], os.getsid(0) == os.getpid())"
    probe = _python(tmp_path, code, nice=7, env={**os.environ, "GREETING": "hello"})
    probe.spawn()
    await probe.expect_success(60)
    assert probe.log_tail() == f"{min(19, os.nice(0) + 7)} hello True"


async def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import pathlib, time; from devstack.processes import Process\n"
        f"child = Process('child', ['sh', '-c', 'echo up; exec sleep 600'], log_file=pathlib.Path('{tmp_path}/log'))\n"
        "child.spawn()\n"
        "while not child.log_tail(): time.sleep(0.02)\n"
        "child.freeze(); print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = int(await asyncio.to_thread(parent.stdout.readline))
        parent.kill()
    await _gone(child)


async def test_starting_from_another_thread_is_refused(tmp_path: Path) -> None:
    sleeper = Process("sleeper", _SLEEP, log_file=tmp_path / "log")
    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(sleeper.spawn)


async def test_a_kill_is_over_when_that_run_is_though_another_begins_at_once(tmp_path: Path) -> None:
    process = Process("probe", _SLEEP, log_file=tmp_path / "probe.log")
    process.spawn()

    async def keep_alive() -> None:
        while process.running:
            await asyncio.sleep(0)
        process.spawn()

    keeper = asyncio.create_task(keep_alive())
    try:
        async with asyncio.timeout(60):
            await process.kill()
        await keeper
        assert process.running
    finally:
        keeper.cancel()
        await process.kill()
