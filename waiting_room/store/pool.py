"""Connections to PostgreSQL, each with the limits that keep one frozen process from blocking the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from waiting_room.settings import Settings

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection, Pool = asyncpg.Connection, asyncpg.Pool

SERVER_SETTINGS = {
    "transaction_timeout": "5s",
    "idle_in_transaction_session_timeout": "2s",
    "lock_timeout": "200ms",
    "timezone": "UTC",
    "jit": "off",
}


async def create_pool(settings: Settings, role: str, *, may_forget: bool = False) -> Pool:
    """A pool for one process; ``role`` names it in pg_stat_activity. Waits for nothing: connects on first use.

    ``may_forget``: commits return before they are on disk. For work that is simply done again if the server crashes.
    """
    return await asyncpg.create_pool(
        settings.postgres_dsn.get_secret_value(),
        min_size=0,
        max_size=settings.postgres_pool_max,
        command_timeout=6,
        timeout=3,
        server_settings={
            **SERVER_SETTINGS,
            "application_name": f"waiting-room {role}",
            "synchronous_commit": "off" if may_forget else "on",
        },
    )
