"""Patients' keys as they are stored: wrapped. One function a statement; who is locked is said where it matters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from waiting_room.patient_keys import PatientTags, Vault
from waiting_room.store import patients, sql
from waiting_room.store.journal import Booking, Journal
from waiting_room.store.patients import Patient
from waiting_room.store.pool import Connection

_SQL = sql.load("patient_keys")


class NewKey(NamedTuple):
    app_id: str
    patient_id: str
    wrapped: bytes


async def find(conn: Connection, who: Collection[Patient]) -> dict[Patient, bytes]:
    """The keys of those of these patients that have one."""
    rows = await conn.fetch(_SQL["find"], *zip(*who, strict=True))
    return {(row["app_id"], row["patient_id"]): row["wrapped"] for row in rows}


async def give(conn: Connection, bookings: Sequence[Booking]) -> None:
    """Put on each of these bookings the key of its patient, if there is one."""
    whose = {each.booking_ref: (each.app_id, each.patient_id) for each in bookings if each.patient_id is not None}
    keys = await find(conn, set(whose.values())) if whose else {}
    for each in bookings:
        each.patient_key = keys.get(whose[each.booking_ref]) if each.booking_ref in whose else None


async def add(conn: Connection, keys: Sequence[NewKey]) -> None:
    """Of patients that are locked (``patients.lock``) and had none: nobody else gives them one meanwhile."""
    await conn.copy_records_to_table("patient_keys", columns=NewKey._fields, records=keys)


async def rewrap(conn: Connection, vault: Vault, at_once: int = 1_000) -> int:
    """Wrap all keys under the current master key; how many were not. Each batch is committed by itself.

    Raises CannotOpen where a key's master key is not known here; keys before it are done.
    """
    done = 0
    last = ("", "")
    while rows := await conn.fetch(_SQL["under_others"], *last, vault.mark, at_once):
        changed = [(row[0], row[1], row[2], vault.rewrapped(row[2])) for row in rows]
        await conn.execute(_SQL["rewrap"], *zip(*changed, strict=True))
        done += len(rows)
        last = (rows[-1]["app_id"], rows[-1]["patient_id"])
    return done


async def seal_plain(conn: Connection, vault: Vault, tags: PatientTags, at_once: int = 500) -> int:
    """Seal what is left from before there were keys; how many bookings. Each batch is committed by itself."""
    done = 0
    while sealed := await _seal_some(conn, vault, tags, at_once):
        done += sealed
    for table in ("claims", "unsubscribed"):
        rows = await conn.fetch(_SQL[f"plain_{table}"])
        if rows:
            found = [(row["app_id"], row["patient_id"], tags.of(*row)) for row in rows]
            await conn.execute(_SQL[f"tag_{table}"], *zip(*found, strict=True))
    return done


async def _seal_some(conn: Connection, vault: Vault, tags: PatientTags, at_once: int) -> int:
    async with conn.transaction():
        rows = await conn.fetch(_SQL["plain"], at_once)
        if not rows:
            return 0
        await Journal.open(conn, {row["clinic_id"] for row in rows})
        tagged = {(row["app_id"], row["patient_id"]): tags.of(row["app_id"], row["patient_id"]) for row in rows}
        who = {(app_id, tag) for (app_id, _), tag in tagged.items()}
        await patients.lock_and_read(conn, who)
        keys = {patient: vault.key(wrapped) for patient, wrapped in (await find(conn, who)).items()}
        new = []
        for patient in who - keys.keys():
            keys[patient], wrapped = vault.new_key()
            new.append(NewKey(*patient, wrapped))
        await add(conn, new)
        sealed = [
            (
                row["clinic_id"],
                row["booking_ref"],
                tag := tagged[row["app_id"], row["patient_id"]],
                None if row["patient"] is None else keys[row["app_id"], tag].seal_json(row["patient"]),
            )
            for row in rows
        ]
        await conn.execute(_SQL["seal"], *zip(*sealed, strict=True))
        return len(rows)
