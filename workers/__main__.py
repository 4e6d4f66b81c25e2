"""`python -m workers ROLE...`: runs one or several roles until SIGTERM or SIGINT.

Exit status: 0 after an orderly stop, 1 when a role died (one log line says which and why), 2 for a bad setting.
"""

from __future__ import annotations

from typing import Annotated

import structlog
import typer
import uvloop

from waiting_room import collector
from waiting_room.settings import Settings, load
from waiting_room.supervise import Task, TaskDied, stop_on_signals, supervise
from waiting_room.telemetry import logs
from waiting_room.telemetry.health import HealthServer
from workers.assemble import Role, task_of

log = structlog.get_logger(__name__)
ALL = "all"


def roles_of(words: list[str]) -> list[Role]:
    """The roles these words mean, each once. Raises typer.BadParameter."""
    if unknown := [word for word in words if word != ALL and word not in list(Role)]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join([*Role, ALL])}")
    return [role for role in Role if ALL in words or role in words]


def main(
    roles: Annotated[
        list[str],
        typer.Argument(
            metavar="|".join([*Role, ALL]),
            help="What this process shall do, one role or several; 'all' is everything.",
        ),
    ],
) -> None:
    """Run these roles in one process until told to stop."""
    chosen = roles_of(roles)
    settings = load()
    logs.configure("+".join(chosen), settings.log_level)
    collector.calm()
    raise typer.Exit(uvloop.run(_run(settings, chosen)))


async def _run(settings: Settings, roles: list[Role]) -> int:
    stop = stop_on_signals()
    tasks: dict[str, Task] = {role.value: task_of(role, settings) for role in roles}
    if settings.metrics_port:
        tasks["health"] = HealthServer(settings.metrics_host, settings.metrics_port, roles).run
    log.info("started", worker_id=settings.worker_id)
    try:
        await supervise(stop, tasks, shutdown_seconds=settings.shutdown_seconds)
    except TaskDied as error:
        log.error("task_died", task=str(error), error=repr(error.__cause__), exc_info=error)
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    typer.run(main)
