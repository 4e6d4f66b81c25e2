"""``python -m devstack demo | up | env | down``: the whole product on one machine, from packages."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
import uvloop

from devstack.demo.run import Wanted, demo
from devstack.processes import ProcessFailed
from devstack.stack import RUN, STACK_FILE, Stack, write_stack_file
from devstack.world import Shape
from waiting_room.supervise import stop_on_signals
from waiting_room.telemetry import logs

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
DETACHED_READY_SECONDS = 180

Clinics = Annotated[int, typer.Option(min=1, max=2_000, help="How many clinics.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same clinics and callers.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the servers' data when the stack stops.")]


@app.command("demo")
def demo_command(
    bookings: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many bookings are posted.")] = 1_000,
    clinics: Clinics = 20,
    seed: Seed = 1,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    keep: Keep = False,
) -> None:
    """A Monday at 08:00, live, and the proof that nothing was lost or doubled."""
    shape = Shape(clinics=clinics, partitions=Shape.partitions_for(clinics), seed=seed)
    with uvloop_runner() as runner:
        raise typer.Exit(runner.run(demo(Wanted(shape, bookings, json, keep))))


@app.command()
def up(
    clinics: Clinics = 20,
    seed: Seed = 1,
    instant_clinics: Annotated[
        bool, typer.Option("--instant-clinics", help="Clinic systems that answer at once.")
    ] = False,
    builtin_clinics: Annotated[
        bool, typer.Option("--builtin-clinics", help="Clinics whose calendar the platform keeps.")
    ] = False,
    eligibility: Annotated[
        Literal["none", "fail_open", "fail_closed"],
        typer.Option(help="What vaccinations ask for first, of a simulated system."),
    ] = "none",
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background.")] = False,
    keep: Keep = False,
) -> None:
    """The same stack, until Ctrl-C or ``down``; .run/stack.json says where everything is."""
    if (running := _running_stack()) is not None:
        sys.exit(f"a stack is running already (pid {running}); stop it first: make down")
    STACK_FILE.unlink(missing_ok=True)
    if detach:
        _start_detached([argument for argument in sys.argv[1:] if argument != "--detach"])
        return
    shape = Shape(
        clinics=clinics,
        partitions=Shape.partitions_for(clinics),
        instant_clinics=instant_clinics,
        builtin_clinics=builtin_clinics,
        eligibility=eligibility,
        slow=0,
        down=0,
        seed=seed,
    )
    with uvloop_runner() as runner:
        raise typer.Exit(runner.run(_up(shape, keep)))


@app.command()
def env() -> None:
    """Print what `python -m waiting_room` needs to look after the running stack: eval "$(make -s env)"."""
    if _running_stack() is None:
        sys.exit("no stack is running; start one: make up")
    told: dict[str, str] = msgspec.json.decode(STACK_FILE.read_bytes())["env"]
    for name, value in told.items():
        print(f"export {name}={shlex.quote(value)}")


@app.command()
def down() -> None:
    """Stop the stack that ``up`` started."""
    pid = _running_stack()
    if pid is None:
        print("no stack is running")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while _running_stack() is not None:
        if time.monotonic() > deadline:
            sys.exit(f"the stack (pid {pid}) has not stopped within 60 s")
        time.sleep(0.1)
    print("stopped")


async def _up(shape: Shape, keep: bool) -> int:
    stop = stop_on_signals()
    stack = Stack(shape, RUN / "stack")
    try:
        await stack.start()
        write_stack_file(stack)
        for name in ("ingress_url", "clinics_url", "receiver_url", "kafka"):
            print(f"{name:<13} {stack.description[name]}")
        if stack.eligibility_url is not None:
            print(f"{'eligibility':<13} {stack.eligibility_url}")
        print(f"keys and more {STACK_FILE.relative_to(Path.cwd()) if _below_here() else STACK_FILE}")
        return await _watch(stack, stop)
    except ProcessFailed as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        STACK_FILE.unlink(missing_ok=True)
        await stack.stop(keep=keep)


async def _watch(stack: Stack, stop: asyncio.Event) -> int:
    """Until asked to stop (0), or until one of the stack's processes has ended by itself (1)."""
    while not stop.is_set():
        for process in stack.processes.values():
            if not process.running:
                print(f"{process.name} ended with {process.returncode}:\n{process.log_tail()}", file=sys.stderr)
                return 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.5)
    return 0


def _start_detached(arguments: list[str]) -> None:
    RUN.mkdir(exist_ok=True)
    log_path = RUN / "up.log"
    with log_path.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "devstack", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACHED_READY_SECONDS
    while not STACK_FILE.exists():
        if child.poll() is not None or time.monotonic() > deadline:
            child.terminate()
            sys.exit(f"the stack did not start:\n{log_path.read_text(errors='replace')[-4_000:]}")
        time.sleep(0.1)
    print(log_path.read_text(errors="replace"), end="")


def _running_stack() -> int | None:
    """The pid of the process that keeps the stack of .run/stack.json, if it lives."""
    try:
        pid = int(msgspec.json.decode(STACK_FILE.read_bytes())["pid"])
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError, msgspec.DecodeError):
        return None
    return pid if b"devstack" in arguments else None


def _below_here() -> bool:
    return STACK_FILE.is_relative_to(Path.cwd())


def uvloop_runner() -> asyncio.Runner:
    """A loop like the services' own; libraries speak up only where something failed."""
    logs.configure("devstack", "warning")
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    app()
