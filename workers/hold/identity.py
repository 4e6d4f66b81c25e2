"""One idempotency key, one booking: refs are claimed first, and a key that has booked before leads there.

A ref that is claimed and has no row had one: its booking is archived, and nothing is done for it any more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from typing import NamedTuple

from waiting_room.messages import Book, Cancel, Reschedule
from waiting_room.store import holds
from waiting_room.store.holds import Key
from waiting_room.store.pool import Connection
from workers.hold.read import Appended


class Found(NamedTuple):
    """``items``: without those for archived bookings. Whoever asks reads there what became of them.

    ``elsewhere``: refs of books whose key has booked under another ref, to which they lead from now on. ``aliases``: of
    other commands whose refs have no row, to what the key of their ref had booked before.
    """

    items: Sequence[Appended]
    elsewhere: set[str]
    aliases: dict[str, str]


async def find(conn: Connection, items: Sequence[Appended], known: Collection[tuple[str, str]]) -> Found:
    """Claim the refs of books, and see where those of other commands lead. ``known``: the bookings that have a row."""
    books = [item.command for item in items if isinstance(item.command, Book)]
    new, elsewhere = await _claim(conn, books)
    unknown = [item.command for item in items if item.command_key not in known]
    changes = [command for command in unknown if not isinstance(command, Book)]
    aliases, over = await _follow(conn, changes, new) if changes else ({}, set[str]())
    over |= {command.booking_ref for command in unknown if isinstance(command, Book)} - new - elsewhere
    left = [item for item in items if item.command.booking_ref not in over] if over else items
    return Found(left, elsewhere, aliases)


async def _claim(conn: Connection, books: Sequence[Book]) -> tuple[set[str], set[str]]:
    """The refs that are new, and those whose key has booked under another one."""
    keys = {book.booking_ref: Key(book.booking_ref, book.app_id, book.key_hash) for book in books}
    if not keys:
        return set(), set()
    new = await holds.claim_refs(conn, list(keys.values()))
    old = [key for ref, key in keys.items() if ref not in new]
    booked_as = await holds.find_refs(conn, old) if old else {}
    aliases = [(keys[ref], booking_ref) for ref, booking_ref in booked_as.items() if ref != booking_ref]
    if aliases:
        await holds.add_aliases(conn, aliases)
    return new, {key.ref for key, _ in aliases}


async def _follow(
    conn: Connection, commands: Sequence[Cancel | Reschedule], new: Set[str]
) -> tuple[dict[str, str], set[str]]:
    """The aliases among these refs, and those whose bookings are archived. Of ``new`` ones the rows are to come."""
    leads_to = await holds.leads_to(conn, {command.booking_ref for command in commands})
    aliases = {ref: booking_ref for ref, booking_ref in leads_to.items() if ref != booking_ref}
    return aliases, leads_to.keys() - aliases.keys() - new
