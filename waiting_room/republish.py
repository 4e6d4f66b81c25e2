"""Writes the whole directory and every key from PostgreSQL to their topics: for a new or a restored cluster."""

from __future__ import annotations

from waiting_room import announcements
from waiting_room.kafka import Producer
from waiting_room.messages import DirectoryEntry
from waiting_room.store import access_keys, directory
from waiting_room.store.pool import Connection


async def republish(conn: Connection, producer: Producer) -> tuple[int, int]:
    """How many clinics and keys were written. Raises KafkaError.

    Inside the caller's transaction, which keeps others from changing either meanwhile: what was changed in between
    would be published first and then replaced by what we had read before.
    """
    await directory.lock(conn)
    await access_keys.lock(conn)
    clinics = [DirectoryEntry(clinic=clinic) for clinic in await directory.load(conn)]
    keys = [stored.key for stored in await access_keys.load_keys(conn)]
    await announcements.publish(producer, [*clinics, *keys])
    return len(clinics), len(keys)
