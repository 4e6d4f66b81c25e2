"""Brings the schema up to date: plain SQL files in ``migrations/``, run in order by dbmate."""

from __future__ import annotations

import asyncio
import os
import sysconfig
from contextlib import suppress
from pathlib import Path

import asyncpg

MIGRATIONS = Path(__file__).parent / "migrations"
ROLES = ("ingress", "hold", "confirm", "relay", "webhooks", "notify", "sweep", "audit")


class MigrationFailed(Exception):
    """dbmate's own words."""


async def migrate(dsn: str) -> str:
    """Apply what is missing, as the schema's owner; safe to run twice and side by side. What dbmate printed.

    Creates the database where it is missing. Raises MigrationFailed, and asyncpg's errors or OSError where the
    server cannot be asked.
    """
    try:
        connection = await asyncpg.connect(dsn)
    except asyncpg.InvalidCatalogNameError:
        with suppress(MigrationFailed):  # someone beside us may have made it: the connection tells
            await dbmate(dsn, "create")
        connection = await asyncpg.connect(dsn)
    try:
        # dbmate takes no lock of its own: two at once would both try to make the first table.
        await connection.execute("SELECT pg_advisory_lock(hashtext('waiting_room migrate'))")
        return await dbmate(dsn, "up")
    finally:
        await connection.close()


async def dbmate(dsn: str, command: str) -> str:
    """One of its commands, with our migrations; what it printed. Raises MigrationFailed."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sysconfig.get_path("scripts")) / "dbmate"),
        "--migrations-dir",
        str(MIGRATIONS),
        "--no-dump-schema",
        command,
        # Where the address does not say, TLS is used if the server has it, as by every other client of ours.
        env={"PGSSLMODE": "prefer", **os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise MigrationFailed(output.decode(errors="replace").strip())
    return output.decode(errors="replace").strip()


async def let_roles_log_in(dsn: str, password: str) -> None:
    """Give every process role this password: for the embedded stack and compose; elsewhere the operator does it."""
    connection = await asyncpg.connect(dsn)
    try:
        for role in ROLES:
            statement = await connection.fetchval(
                "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', 'waiting_room_' || $1::text, $2::text)",
                role,
                password,
            )
            await connection.execute(statement)
    finally:
        await connection.close()
