"""Calendars that clinics send are read one at a time, and no clinic waits for all that another has sent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from ingress import ics_reader
from waiting_room.ics import Job, Span

NOW = datetime(2026, 11, 26, tzinfo=UTC)


async def test_a_clinic_waits_for_one_calendar_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    turn = asyncio.Semaphore(0)

    async def expand(job: Job) -> tuple[Span, ...]:
        begun.append(job.timezone)
        await turn.acquire()
        return ()

    monkeypatch.setattr(ics_reader, "_one_at_a_time", asyncio.Semaphore(1))
    monkeypatch.setattr(ics_reader, "_expand", expand)
    async with asyncio.TaskGroup() as group:
        for clinic_id, name in (("0001", "first"), ("0001", "second"), ("0001", "third"), ("0002", "other")):
            group.create_task(ics_reader.read(clinic_id, Job(b"", name, NOW, NOW)))
        for count in range(1, 5):
            while len(begun) < count:
                await asyncio.sleep(0)
            turn.release()
    assert begun == ["first", "other", "second", "third"]
