"""Whether the database has the schema this version of the program was written for."""

from __future__ import annotations

import asyncpg

from waiting_room.settings import Settings
from waiting_room.store import sql
from waiting_room.store.migrate import MIGRATIONS

_SQL = sql.load("schema")
_NOT_YET = (
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,  # roles come with the schema; a wrong password looks the same
    asyncpg.UndefinedTableError,
    asyncpg.InsufficientPrivilegeError,
)


class SchemaBehind(Exception):
    """Migrations are missing, or so it looks from this process's role; the text says what was seen."""


async def check(settings: Settings) -> None:
    """Raises SchemaBehind, or what ``faults.passes`` knows when the server cannot be asked. A newer schema is fine."""
    wanted = max(path.name.partition("_")[0] for path in MIGRATIONS.glob("*.sql"))
    try:
        connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value(), timeout=3, command_timeout=3)
        try:
            found: str | None = await connection.fetchval(_SQL["newest_migration"])
        finally:
            await connection.close(timeout=1)
    except _NOT_YET as error:
        raise SchemaBehind(str(error)) from error
    if found is None or found < wanted:
        raise SchemaBehind(f"the newest migration there is {found}, not {wanted}")
