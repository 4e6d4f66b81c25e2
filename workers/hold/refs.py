"""Which booking a ref leads to: itself, or the one that its idempotency key had made before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from waiting_room.messages import Book
from waiting_room.store import holds
from waiting_room.store.holds import Key
from waiting_room.store.pool import Connection


class Refs:
    """One batch's."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._aliases: dict[str, str] = {}

    async def claim(self, books: Sequence[Book]) -> set[str]:
        """Claim the refs that are new. Returns those whose key has booked under another ref."""
        keys = {book.booking_ref: Key(book.booking_ref, book.app_id, book.key_hash) for book in books}
        if not keys:
            return set()
        new = await holds.claim_refs(self._conn, list(keys.values()))
        old = [key for ref, key in keys.items() if ref not in new]
        booked_as = await holds.find_refs(self._conn, old) if old else {}
        aliases = [(keys[ref], booking_ref) for ref, booking_ref in booked_as.items() if ref != booking_ref]
        if aliases:
            await holds.add_aliases(self._conn, aliases)
        return {key.ref for key, _ in aliases}

    async def follow(self, strangers: Iterable[str]) -> None:
        """Find out where these refs lead, of which there is no row: ``leads_to`` knows then."""
        if refs := list(strangers):
            self._aliases = await holds.find_aliases(self._conn, refs)

    def leads_to(self, booking_ref: str) -> str | None:
        return self._aliases.get(booking_ref)
