"""What a copy of calendars is kept right by, and filled from. One function a statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec

from waiting_room.store import sql
from waiting_room.store.holds import Window, days_of
from waiting_room.store.pool import Connection

_SQL = sql.load("slots")
EVENTS_MAX = 200
Aware = Annotated[datetime, msgspec.Meta(tz=True)]
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


class TakenRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A booking's claim on a ``seat``, or a busy time (both None) of so many ``seats`` (None: all)."""

    booking_ref: str | None
    seat: int | None
    seats: int | None
    start_at: Aware
    busy_until: Aware
    tentative: bool
    """Its booking is not decided yet, or it is to be moved there."""


class WantedTime(NamedTuple):
    """A time at a provider, under a caller's key."""

    clinic_id: str
    provider_id: str
    from_at: datetime
    to_at: datetime
    app_id: str
    key_hash: bytes


class InTheWay(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """As TakenRow, of nobody in particular."""

    seat: int | None
    seats: int | None
    start_at: datetime
    busy_until: datetime


class Contest(NamedTuple):
    """How it stands, all at one moment. ``known``: the key has a booking."""

    rules_version: int
    known: bool
    taken: tuple[InTheWay, ...]


_touched = msgspec.json.Decoder(tuple[Touched, ...])
_in_the_way = msgspec.json.Decoder(tuple[InTheWay, ...])


async def news(conn: Connection, known: Sequence[tuple[str, int]]) -> list[News]:
    """Of those of these (clinic_id, seq) that exist."""
    if len(known) == 1:
        rows = await conn.fetch(_SQL["news_of_one"], *known[0], EVENTS_MAX)
    else:
        rows = await conn.fetch(_SQL["news"], *zip(*known, strict=True), EVENTS_MAX)
    return [
        News(
            row["clinic_id"],
            row["last_seq"],
            row["rules_version"],
            row["busy_version"],
            row["now"],
            None if row["too_many"] else _touched.decode(row["touched"] or "[]"),
        )
        for row in rows
    ]


async def contested(conn: Connection, wanted: Sequence[WantedTime]) -> list[Contest]:
    """How each of these stands, in their order; all their clinics exist."""
    return [
        Contest(row["rules_version"], row["known"], _in_the_way.decode(row["taken"] or "[]"))
        for row in await conn.fetch(_SQL["contested"], *zip(*wanted, strict=True), *days_of(wanted))
    ]


async def taken(conn: Connection, windows: Sequence[Window]) -> list[list[TakenRow]]:
    """What reaches into each of these windows, in their order."""
    found: list[list[TakenRow]] = [[] for _ in windows]
    clinic_id, *others = {window.clinic_id for window in windows}
    only = None if others else clinic_id
    for row in await conn.fetch(_SQL["taken"], *zip(*windows, strict=True), *days_of(windows), only):
        nr, *values = row
        found[nr - 1].append(TakenRow(*values))
    return found
