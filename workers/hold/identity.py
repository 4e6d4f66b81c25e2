"""One idempotency key, one booking: refs are claimed first, and a key that has booked before leads there."""

from __future__ import annotations

from collections.abc import Sequence

from waiting_room.messages import Book, Cancel, Reschedule
from waiting_room.store import holds
from waiting_room.store.holds import Key
from waiting_room.store.pool import Connection


async def claim(conn: Connection, books: Sequence[Book]) -> set[str]:
    """Claim the refs that are new. Refs whose key has booked under another ref, to which they lead from now on."""
    keys = {book.booking_ref: Key(book.booking_ref, book.app_id, book.key_hash) for book in books}
    if not keys:
        return set()
    new = await holds.claim_refs(conn, list(keys.values()))
    old = [key for ref, key in keys.items() if ref not in new]
    booked_as = await holds.find_refs(conn, old) if old else {}
    aliases = [(keys[ref], booking_ref) for ref, booking_ref in booked_as.items() if ref != booking_ref]
    if aliases:
        await holds.add_aliases(conn, aliases)
    return {key.ref for key, _ in aliases}


async def follow(conn: Connection, commands: Sequence[Cancel | Reschedule]) -> dict[str, str]:
    """Where these lead, whose refs have no row: to what the ref's key had booked before."""
    return await holds.find_aliases(conn, [command.booking_ref for command in commands]) if commands else {}
