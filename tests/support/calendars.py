"""Calendars as clinics put them, for tests that do not go through the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from tests.support.database import Database
from tests.support.world import ClinicSpec, tomorrow
from waiting_room.domain.availability.fit import Busy
from waiting_room.domain.availability.rules import Availability, Override
from waiting_room.store import calendars

TOMORROW = tomorrow().isoweekday()
MORNING = {"weekday": TOMORROW, "from": "09:00", "to": "12:00", "slot_minutes": 30}


def rules(*weekly: dict[str, Any], **more: Any) -> Availability:
    """Tomorrow's mornings unless told otherwise."""
    return msgspec.convert({"weekly": weekly or (MORNING,), **more}, Availability)


async def put_rules(
    database: Database, spec: ClinicSpec, availability: Availability, *, capacity: int | None = None
) -> None:
    async with database.owner() as owner, owner.transaction():
        await calendars.lock(owner, spec.clinic_id)
        await calendars.put_availability(owner, spec.provider_id, availability, capacity)
        await calendars.publish(owner, spec.clinic_id)


async def put_override(database: Database, spec: ClinicSpec, override: Override) -> None:
    async with database.owner() as owner, owner.transaction():
        await calendars.lock(owner, spec.clinic_id)
        await calendars.put_override(owner, spec.provider_id, override)
        await calendars.publish(owner, spec.clinic_id)


async def put_busy(database: Database, spec: ClinicSpec, hour: int, seats: int | None = None) -> None:
    """An hour of tomorrow."""
    busy = Busy(
        source="test",
        busy_id=str(hour),
        from_at=tomorrow(hour),
        to_at=tomorrow(hour) + timedelta(hours=1),
        seats=seats,
    )
    async with database.owner() as owner, owner.transaction():
        await calendars.lock(owner, spec.clinic_id)
        await calendars.put_busy(owner, spec.clinic_id, spec.provider_id, [busy])
