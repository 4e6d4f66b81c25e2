"""Forgets a patient: their key, and what leads from their bookings to them. The bookings stay, nobody's from then on.

No key is needed to forget one. What is left of the patient elsewhere, in old pages, logs and copies of the database,
was sealed under the key that is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from waiting_room.store import patients, sql
from waiting_room.store.journal import Journal
from waiting_room.store.patients import Patient
from waiting_room.store.pool import Connection

_SQL = sql.load("erasure")
WANTED_SHOWN = 20


class StillWanted(Exception):
    """The patient has bookings that are not over: ``refs``, the first of them."""

    def __init__(self, refs: Sequence[str]) -> None:
        super().__init__(f"bookings are not over: {', '.join(refs)}")
        self.refs = tuple(refs)


class Erased(NamedTuple):
    """``at`` is the database's clock; ``known``: whether there was anything to forget."""

    at: datetime
    bookings: int
    known: bool


async def erase(conn: Connection, patient: Patient) -> Erased:
    """Inside the caller's transaction, with the locks of the patient's clinics and then of the patient, as hold takes
    them. ``patient`` is (app_id, tag).

    Raises StillWanted, and asyncpg.LockNotAvailableError where the patient booked elsewhere just now; then nothing is
    written, and the same may be tried again.
    """
    clinics = {row["clinic_id"] for row in await conn.fetch(_SQL["clinics"], *patient)}
    now: datetime = (await Journal.open(conn, clinics)).now if clinics else await conn.fetchval(_SQL["now"])
    await patients.lock_and_read(conn, [patient])
    rows = await conn.fetch(_SQL["bookings"], *patient)
    if not {row["clinic_id"] for row in rows} <= clinics:
        raise asyncpg.LockNotAvailableError("the patient has booked at another clinic meanwhile")
    if wanted := [row["booking_ref"] for row in rows if row["wanted"]]:
        raise StillWanted(wanted[:WANTED_SHOWN])
    known = await conn.fetchval(_SQL["forget_key"], *patient) is not None
    if rows:
        await conn.execute(_SQL["forget_bookings"], *patient)
    archived = _count(await conn.execute(_SQL["forget_archived"], *patient))
    await conn.execute(_SQL["forget_claims"], *patient)
    await conn.execute(_SQL["forget_unsubscribed"], *patient)
    bookings = len(rows) + archived
    return Erased(now, bookings, known or bookings > 0)


class Unused(NamedTuple):
    """``used_until``: when the patient's last appointment ended, or None if there is none."""

    app_id: str
    patient_id: str
    used_until: datetime | None
    still_used: bool
    """Whether that is too short ago after all."""


async def unused(conn: Connection, days: int, limit: int) -> list[Unused]:
    """Keys that nobody has seen used for so many days, the longest first."""
    return [Unused(*row) for row in await conn.fetch(_SQL["unused"], days, limit)]


async def look_again(conn: Connection, used: Sequence[Unused], days: int) -> None:
    """These are not to be forgotten yet: remember when they were last used, or look at them tomorrow."""
    columns = zip(*(each[:3] for each in used), strict=True)
    await conn.execute(_SQL["look_again"], *columns, days)


def _count(done: str) -> int:
    """How many rows a statement has changed."""
    return int(done.rpartition(" ")[2])
