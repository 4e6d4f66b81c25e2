"""Reads the calendars that clinics send: one at a time, so that they do not hold up bookings."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakValueDictionary

from ingress import problems
from ingress.refusal import Refused
from waiting_room.ics import Job, Span, Unreadable
from waiting_room.ics_process import expand

_one_at_a_time: Final = asyncio.Semaphore(1)
_of_clinic: Final = WeakValueDictionary[str, asyncio.Lock]()


async def read(clinic_id: str, job: Job) -> tuple[Span, ...]:
    """In turn with other clinics, however many calendars this one has sent. Raises Refused (422)."""
    async with _of_clinic.setdefault(clinic_id, asyncio.Lock()), _one_at_a_time:
        return await _expand(job)


async def _expand(job: Job) -> tuple[Span, ...]:
    try:
        return await expand(job)
    except Unreadable as error:
        raise Refused(problems.UNREADABLE_CALENDAR, f"{error}.") from error
