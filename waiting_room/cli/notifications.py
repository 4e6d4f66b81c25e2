"""``notifications``: what patients could not be told, and to try it again."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from waiting_room.cli import table
from waiting_room.cli.run import connect, run
from waiting_room.settings import Settings
from waiting_room.store import notifications

app = typer.Typer(help="Messages to patients. Connect as the schema's owner.", no_args_is_help=True)
Hours = Annotated[int, typer.Option(min=1, max=24 * 365, help="Of those that have failed in the last so many hours.")]


@app.command()
def failed(hours: Hours = 24) -> None:
    """Show the messages that no attempt could send, the latest first; never where they were to go."""
    run(lambda settings: _failed(settings, timedelta(hours=hours)))


@app.command()
def retry(hours: Hours = 24) -> None:
    """Have them sent after all, as if for the first time: what is no longer true is dropped then.

    One whose next channel has sent it meanwhile stays as it is.
    """
    run(lambda settings: _retry(settings, timedelta(hours=hours)))


async def _failed(settings: Settings, since: timedelta) -> None:
    async with connect(settings) as connection:
        rows = await notifications.failed(connection, since)
    table.show(
        ("failed at", "booking", "revision", "kind", "channel", "attempts", "why"),
        [
            (
                f"{row.ended_at:%Y-%m-%dT%H:%M:%SZ}",
                row.key.booking_ref,
                row.key.revision,
                row.key.kind,
                row.key.channel,
                row.attempts,
                row.last_error or "",
            )
            for row in rows
        ],
    )


async def _retry(settings: Settings, since: timedelta) -> None:
    async with connect(settings) as connection:
        count = await notifications.retry_failed(connection, since)
    typer.echo(f"{count} messages will be sent")
