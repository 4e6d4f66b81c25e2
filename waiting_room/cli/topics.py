"""``topics``: create the topics that are missing and check them all."""

from __future__ import annotations

from typing import Annotated

import typer

from waiting_room import topics_admin
from waiting_room.cli.run import No, once_started, run
from waiting_room.settings import Settings


def topics(
    check_only: Annotated[bool, typer.Option("--check-only", help="Create nothing.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for Kafka to start.")] = 0,
) -> None:
    """Create the topics that are missing, then check that each is as it must be."""
    run(lambda settings: _topics(settings, check_only, wait))


async def _topics(settings: Settings, check_only: bool, wait: float) -> None:
    async def look() -> None:
        created = [] if check_only else await topics_admin.ensure(settings)
        for name in created:
            typer.echo(f"created {name}")
        if check_only:
            await topics_admin.check(settings)

    try:
        await once_started(wait, look)
    except topics_admin.TopicsWrong as wrong:
        raise No(str(wrong)) from wrong
    typer.echo("all topics are as they must be")
