"""Reads a calendar that came from outside in a process of its own: it may take long, and is ended when it does."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final

import msgspec

from waiting_room.ics import Done, Job, Span, Unreadable
from waiting_room.settings import PREFIX

WITHIN_SECONDS: Final = 10.0


async def expand(job: Job) -> tuple[Span, ...]:
    """What is busy by it. Raises Unreadable."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "waiting_room.ics",
        env=_without_secrets(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            written, _ = await process.communicate(msgspec.json.encode(job))
    except TimeoutError:
        raise Unreadable("It takes too long to expand") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise Unreadable("Reading it failed")
    done = msgspec.json.decode(written, type=Done)
    if done.error is not None:
        raise Unreadable(done.error, done.safe)
    return done.spans


def _without_secrets() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
