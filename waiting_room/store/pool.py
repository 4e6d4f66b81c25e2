"""Connections to PostgreSQL, each with the limits that keep one frozen process from blocking the others."""

from __future__ import annotations

import time
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import asyncpg

from waiting_room.settings import Settings
from waiting_room.telemetry import metrics

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection, Pool = asyncpg.Connection, asyncpg.Pool

_pools: WeakSet[Pool] = WeakSet()
"""Of this process: several roles may run in one."""
metrics.POOL_CONNECTIONS.labels("idle").set_function(lambda: sum(pool.get_idle_size() for pool in _pools))
metrics.POOL_CONNECTIONS.labels("used").set_function(
    lambda: sum(pool.get_size() - pool.get_idle_size() for pool in _pools)
)
metrics.POOL_CONNECTIONS.labels("most").set_function(lambda: sum(pool.get_max_size() for pool in _pools))

_DEFAULTS: Final = {
    name: parameter.default
    for name, parameter in signature(asyncpg.create_pool).parameters.items()
    if parameter.kind is Parameter.KEYWORD_ONLY
}
"""What create_pool would give the pool, which itself has none."""

SERVER_SETTINGS = {
    "transaction_timeout": "5s",
    "idle_in_transaction_session_timeout": "2s",
    "lock_timeout": "200ms",
    "timezone": "UTC",
    "jit": "off",
}


async def _as_it_is(_: asyncpg.Connection[asyncpg.Record]) -> None:
    """How a connection goes back to its pool, once asyncpg has ended what was open: no statement of ours changes its
    session, so nothing is to be undone. asyncpg's own way is to ask the server to, a round trip a transaction.
    """


class MeasuredPool(Pool):
    """asyncpg's pool, which tells how long each caller waited for a connection."""

    def __init__(self, dsn: str, **options: Any) -> None:
        super().__init__(dsn, **{**_DEFAULTS, **options})

    async def _acquire(self, timeout: float | None) -> Any:  # the one place that every way to a connection leads to
        started = time.monotonic()
        try:
            return await super()._acquire(timeout)  # type: ignore[misc]
        finally:
            metrics.POOL_WAIT.observe(time.monotonic() - started)


async def create_pool(settings: Settings, role: str, *, may_forget: bool = False) -> Pool:
    """A pool for one process; ``role`` names it in pg_stat_activity. Waits for nothing: connects on first use.

    ``may_forget``: commits return before they are on disk. For work that is simply done again if the server crashes.
    """
    pool = MeasuredPool(
        settings.postgres_dsn.get_secret_value(),
        min_size=0,
        max_size=settings.postgres_pool_max,
        command_timeout=6,
        timeout=3,
        reset=_as_it_is,
        server_settings={
            **SERVER_SETTINGS,
            "application_name": f"waiting-room {role}",
            "synchronous_commit": "off" if may_forget else "on",
        },
    )
    _pools.add(pool)
    return await pool
