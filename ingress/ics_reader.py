"""Reads a calendar that came from outside, in a process of its own: it may take long, and must not hold up bookings."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from ingress import problems
from ingress.refusal import Refused
from waiting_room.ics import Done, Job, Span
from waiting_room.settings import PREFIX

WITHIN_SECONDS: Final = 10.0
_one_at_a_time: Final = asyncio.Semaphore(1)
_of_clinic: Final = WeakValueDictionary[str, asyncio.Lock]()


async def read(clinic_id: str, job: Job) -> tuple[Span, ...]:
    """In turn with other clinics, however many calendars this one has sent. Raises Refused (422)."""
    async with _of_clinic.setdefault(clinic_id, asyncio.Lock()), _one_at_a_time:
        return await _expand(job)


async def _expand(job: Job) -> tuple[Span, ...]:
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
        raise _unreadable("It takes too long to expand") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise _unreadable("Reading it failed")
    done = msgspec.json.decode(written, type=Done)
    if done.error is not None:
        raise _unreadable(done.error)
    return done.spans


def _unreadable(why: str) -> Refused:
    return Refused(problems.UNREADABLE_CALENDAR, f"{why}.")


def _without_secrets() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
