"""`python -m workers ROLE...`: runs one or several roles until SIGTERM or SIGINT.

`python -m workers supervise` runs no role itself but confirm workers, as many as are needed.

Exit status: 0 after an orderly stop, 1 when a role died (one log line says which and why), 2 for a bad setting.
"""

from __future__ import annotations

import socket
import sys
from typing import Annotated, Final

import structlog
import typer
import uvloop

from waiting_room import collector
from waiting_room.settings import PREFIX, Settings, load
from waiting_room.supervise import Task, TaskDied, stop_on_signals, supervise
from waiting_room.telemetry import logs, tracing
from waiting_room.telemetry.health import HealthServer
from workers.assemble import Role, task_of
from workers.supervise.lifeline import die_with

log = structlog.get_logger(__name__)
ALL, SUPERVISE = "all", "supervise"
NEEDS: Final = {
    Role.HOLD: {
        "master_key": "hold opens and seals patients' data with it",
        "patient_secret": "hold finds patients with it",
    },
    Role.CONFIRM: {"master_key": "clinics cannot be told who comes without it"},
    Role.WEBHOOKS: {"master_key": "webhooks cannot be signed without it"},
    Role.NOTIFY: {"master_key": "patients cannot be reached without it"},
    Role.SWEEP: {"master_key": "calendars that providers are subscribed to cannot be read without it"},
}
"""What a role does with secrets that others do without."""


def roles_of(words: list[str]) -> list[Role]:
    """The roles these words mean, each once. Raises typer.BadParameter."""
    if SUPERVISE in words:
        raise typer.BadParameter(f"{SUPERVISE!r} goes with nothing else")
    if unknown := [word for word in words if word != ALL and word not in list(Role)]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join([*Role, ALL, SUPERVISE])}")
    return [role for role in Role if ALL in words or role in words]


def missing(roles: list[Role], settings: Settings) -> list[tuple[str, str]]:
    """(setting, why) of what these roles cannot work without and is not set."""
    return [
        (setting, why)
        for role in roles
        for setting, why in NEEDS.get(role, {}).items()
        if getattr(settings, setting) is None
    ]


def main(
    roles: Annotated[
        list[str],
        typer.Argument(
            metavar="|".join([*Role, ALL, SUPERVISE]),
            help="What this process shall do, one role or several; 'all' is everything. "
            "'supervise' starts confirm workers instead, as many as their clinics need.",
        ),
    ],
    parent: Annotated[int | None, typer.Option(hidden=True, help="End when this process, our parent, does.")] = None,
    metrics_socket: Annotated[int | None, typer.Option(hidden=True, help="What our parent has bound for us.")] = None,
) -> None:
    """Run these roles in one process until told to stop."""
    if parent is not None:
        die_with(parent)
    supervises = roles == [SUPERVISE]
    chosen = [] if supervises else roles_of(roles)
    settings = load()
    mistakes = missing([Role.CONFIRM] if supervises else chosen, settings)
    for setting, why in mistakes:
        sys.stderr.write(f"bad setting: {PREFIX}{setting.upper()}: {why}\n")
    if mistakes:
        raise typer.Exit(2)
    logs.configure("+".join(chosen) or SUPERVISE, settings.log_level)
    tracing.configure(settings, "+".join(chosen) or SUPERVISE)
    if parent is not None:
        structlog.contextvars.bind_contextvars(worker=settings.worker_id)  # its siblings write to the same log
    collector.calm(collector.FOR_BATCHES)
    bound = None if metrics_socket is None else socket.socket(fileno=metrics_socket)
    raise typer.Exit(uvloop.run(_supervise(settings) if supervises else _work(settings, chosen, bound)))


async def _work(settings: Settings, roles: list[Role], bound: socket.socket | None) -> int:
    """``bound``: to the port for metrics."""
    tasks: dict[str, Task] = {role.value: task_of(role, settings) for role in roles}
    if settings.metrics_port:
        tasks["health"] = HealthServer(settings.metrics_host, settings.metrics_port, tuple(tasks), bound).run
    return await _run(settings, tasks, shutdown_seconds=settings.shutdown_seconds)


async def _supervise(settings: Settings) -> int:
    from workers.supervise import supervisor
    from workers.supervise.server import SupervisorServer

    made = supervisor.Supervisor(settings)
    tasks: dict[str, Task] = {SUPERVISE: made.run}
    if settings.metrics_port:
        server = SupervisorServer(settings.metrics_host, settings.metrics_port, SUPERVISE, lambda: made.ports)
        tasks["health"] = server.run
    return await _run(settings, tasks, shutdown_seconds=supervisor.shutdown_seconds(settings))


async def _run(settings: Settings, tasks: dict[str, Task], *, shutdown_seconds: float) -> int:
    stop = stop_on_signals()
    log.info("started", worker_id=settings.worker_id)
    try:
        await supervise(stop, tasks, shutdown_seconds=shutdown_seconds)
    except TaskDied as error:
        log.error("task_died", task=str(error), error=repr(error.__cause__), exc_info=error)
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    typer.run(main)
