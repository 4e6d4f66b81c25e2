"""Roles run inside a test, as the worker process runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from waiting_room.settings import Settings
from workers.assemble import Role, task_of


@asynccontextmanager
async def running(role: Role, settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """The role at work; stopped orderly at the end unless the test has cancelled the task, which is a crash."""
    finish = asyncio.Event()
    task: asyncio.Task[None] = asyncio.create_task(task_of(role, settings)(finish), name=role)
    try:
        yield task
    finally:
        finish.set()
        with suppress(asyncio.CancelledError):
            await task
