"""Migrated databases for tests: cloned from one template, each test its own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tests.stack import Postgres
from waiting_room.store.migrate import let_roles_log_in, migrate

ROLE_PASSWORD = "only-for-tests"


@dataclass(frozen=True)
class Database:
    """A migrated database; ``dsn("hold")`` is what the hold process would connect with."""

    server: Postgres
    name: str

    @property
    def owner_dsn(self) -> str:
        return self.server.dsn(self.name)

    def dsn(self, role: str) -> str:
        return self.server.dsn(self.name, f"waiting_room_{role}", ROLE_PASSWORD)

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A connection that may do everything: to plant and to look."""
        connection = await asyncpg.connect(self.owner_dsn)
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def template_for_tests(server: Postgres) -> AsyncIterator[Database]:
    """A migrated database that others are cloned from; nobody may stay connected to it."""
    template = Database(server, f"template_{secrets.token_hex(4)}")
    await _admin(server, f'CREATE DATABASE "{template.name}"')
    try:
        await migrate(with_sslmode(template.owner_dsn))
        await let_roles_log_in(template.owner_dsn, ROLE_PASSWORD)
        yield template
    finally:
        await _admin(server, f'DROP DATABASE "{template.name}" WITH (FORCE)')


@asynccontextmanager
async def clone(template: Database) -> AsyncIterator[Database]:
    """A database of its own, gone afterwards."""
    database = Database(template.server, f"test_{secrets.token_hex(6)}")
    await _admin(template.server, f'CREATE DATABASE "{database.name}" TEMPLATE "{template.name}"')
    try:
        yield database
    finally:
        await _admin(template.server, f'DROP DATABASE "{database.name}" WITH (FORCE)')


def with_sslmode(dsn: str) -> str:
    """dbmate asks for TLS unless told otherwise; the test server has none."""
    if "sslmode=" in dsn:
        return dsn
    return f"{dsn}{'&' if '?' in dsn else '?'}sslmode=disable"


async def _admin(server: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(server.admin_dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
