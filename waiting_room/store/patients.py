"""What patients' bookings take of what is allowed to them. One function a statement."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import NamedTuple

from waiting_room.domain.limits import PatientClaim
from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("patients")
Patient = tuple[str, str]
"""(app_id, patient_id)"""
Key = tuple[str, str]
"""(clinic_id, booking_ref)"""


class NewClaim(NamedTuple):
    clinic_id: str
    booking_ref: str
    app_id: str
    patient_id: str
    place: int | None
    business_id: str
    service_type: str
    day: date
    only_one: bool
    lasting: bool


async def lock_and_read(conn: Connection, patients: Collection[Patient]) -> dict[Patient, dict[Key, PatientClaim]]:
    """What each has; nobody else gives any of them a booking before the caller's transaction ends."""
    columns = list(zip(*patients, strict=True))
    await conn.execute(_SQL["lock"], *columns)
    found: dict[Patient, dict[Key, PatientClaim]] = {patient: {} for patient in patients}
    for app_id, patient_id, clinic_id, booking_ref, *claim in await conn.fetch(_SQL["claims"], *columns):
        found[app_id, patient_id][clinic_id, booking_ref] = PatientClaim(*claim)
    return found


async def claim(conn: Connection, claims: Sequence[NewClaim]) -> None:
    """Raises asyncpg.UniqueViolationError where a patient would have more than is allowed."""
    await conn.copy_records_to_table("patient_claims", columns=NewClaim._fields, records=claims)


async def moved(conn: Connection, starts: Sequence[tuple[str, str, datetime | None]]) -> None:
    """(clinic_id, booking_ref, start_at) of bookings that are at another time now."""
    await conn.execute(_SQL["moved"], *zip(*starts, strict=True))


async def wait_again(conn: Connection, keys: Collection[Key]) -> None:
    """These bookings were offered a time, and wait on without it."""
    await conn.execute(_SQL["wait_again"], *zip(*keys, strict=True))


async def settle(conn: Connection, decided: Sequence[tuple[str, str, str]]) -> None:
    """(clinic_id, booking_ref, status) of decided bookings."""
    await conn.execute(_SQL["settle"], *zip(*decided, strict=True))
