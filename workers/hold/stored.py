"""How far a partition is in the database: what waits, or is another part of a batch that was split, is not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from waiting_room.store import holds
from waiting_room.store.pool import Connection
from waiting_room.topics import BOOKING_REQUESTS
from workers.hold.read import Item

NextOffset = Callable[[int, Collection[int]], int | None]
"""(partition, offsets that are stored now) to the one before which all is stored then, if anybody can tell."""


def behind_the_last(_: int, stored: Collection[int]) -> int | None:
    return max(stored) + 1


async def consumed_before(conn: Connection, items: Sequence[Item]) -> dict[int, int]:
    """By partition of these items, the offset before which all was stored before the caller's transaction."""
    return await holds.consumed(conn, BOOKING_REQUESTS, {item.partition for item in items})


async def save_offsets(conn: Connection, items: Sequence[Item], next_offset: NextOffset) -> None:
    """Note that these items are stored with the caller's transaction."""
    stored: dict[int, set[int]] = {}
    for item in items:
        stored.setdefault(item.partition, set()).add(item.offset)
    offsets = {partition: next_offset(partition, offsets) for partition, offsets in stored.items()}
    known = {partition: offset for partition, offset in offsets.items() if offset is not None}
    if known:
        await holds.save_consumed(conn, BOOKING_REQUESTS, known)
