"""What a copy of calendars is kept right by, and filled from. One function a statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec

from waiting_room.store import sql
from waiting_room.store.holds import Window
from waiting_room.store.pool import Connection

_SQL = sql.load("slots")
EVENTS_MAX = 200
NEVER = -1
"""The ``seq`` of a clinic of which nothing is known yet."""


class Touched(msgspec.Struct, frozen=True, array_like=True):
    """A booking that an event was about, with a claim that it has now; none where it has none."""

    booking_ref: str
    provider_id: str | None
    start_at: datetime | None
    busy_until: datetime | None


class News(NamedTuple):
    """A clinic as it is ``now``; ``touched`` by the events since the ``seq`` asked for, None if they were too many."""

    clinic_id: str
    seq: int
    rules_version: int
    busy_version: int
    now: datetime
    touched: tuple[Touched, ...] | None


@dataclass(frozen=True, slots=True)
class TakenRow:
    """A booking's claim on a ``seat``, or a busy time (both None) of so many ``seats`` (None: all)."""

    booking_ref: str | None
    seat: int | None
    seats: int | None
    start_at: datetime
    busy_until: datetime
    tentative: bool
    """Its booking is not decided yet, or it is to be moved there."""


_touched = msgspec.json.Decoder(tuple[Touched, ...])


async def news(conn: Connection, known: Sequence[tuple[str, int]]) -> list[News]:
    """Of those of these (clinic_id, seq) that exist."""
    return [
        News(
            row["clinic_id"],
            row["last_seq"],
            row["rules_version"],
            row["busy_version"],
            row["now"],
            None if row["too_many"] else _touched.decode(row["touched"] or "[]"),
        )
        for row in await conn.fetch(_SQL["news"], *zip(*known, strict=True), EVENTS_MAX)
    ]


async def taken(conn: Connection, windows: Sequence[Window]) -> list[list[TakenRow]]:
    """What reaches into each of these windows, in their order."""
    found: list[list[TakenRow]] = [[] for _ in windows]
    for row in await conn.fetch(_SQL["taken"], *zip(*windows, strict=True)):
        nr, *values = row
        found[nr - 1].append(TakenRow(*values))
    return found
