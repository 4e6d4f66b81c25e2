"""``migrate``: bring the database up to date, as the schema's owner."""

from __future__ import annotations

from typing import Annotated

import asyncpg
import typer

from waiting_room.cli.run import connect, once_started, run
from waiting_room.settings import Settings
from waiting_room.store import directory
from waiting_room.store import migrate as migrations


def migrate(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for PostgreSQL to start.")] = 0,
) -> None:
    """Bring the database's schema up to date; harmless when it is. Connect as the schema's owner."""
    run(lambda settings: _migrate(settings, wait))


async def _migrate(settings: Settings, wait: float) -> None:
    dsn = settings.postgres_dsn.get_secret_value()
    await once_started(wait, lambda: _answers(dsn))
    if said := await migrations.migrate(dsn):
        typer.echo(said)
    if settings.postgres_role_password:
        await migrations.let_roles_log_in(dsn, settings.postgres_role_password.get_secret_value())
    async with connect(settings) as connection, connection.transaction():
        if added := await directory.add_missing_counters(connection):
            typer.echo(f"{added} clinics had no counters and have them now")
    typer.echo("the database is up to date")


async def _answers(dsn: str) -> None:
    """Raises while the server does not; that our database is still to be made is no matter."""
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except asyncpg.InvalidCatalogNameError:
        return
    await connection.close()
