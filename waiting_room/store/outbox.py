"""What waits to be published: appointment_events past each clinic's cursor, and changes of the directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("outbox")


class News(NamedTuple):
    """A clinic with events past ``published_seq``, up to ``last_seq``; both committed. ``partition``: its first one."""

    clinic_id: str
    published_seq: int
    last_seq: int
    partition: int


class Span(NamedTuple):
    """Up to ``wanted`` events of a clinic past ``after_seq``."""

    clinic_id: str
    after_seq: int
    wanted: int


class StoredEvent(NamedTuple):
    """A row of appointment_events. ``age_seconds``: by the database's clock, when it was read."""

    clinic_id: str
    seq: int
    record: str
    event: str
    age_seconds: float


class DirectoryRow(NamedTuple):
    seq: int
    topic: str
    key: str
    record: str


async def news(conn: Connection) -> list[News]:
    """Clinics with something to publish, in ascending id."""
    return [News(*row) for row in await conn.fetch(_SQL["news"])]


async def events(conn: Connection, spans: Sequence[Span]) -> list[StoredEvent]:
    """The events of these spans in (clinic_id, seq) order."""
    return [StoredEvent(*row) for row in await conn.fetch(_SQL["events"], *zip(*spans, strict=True))]


async def advance(conn: Connection, published: Mapping[str, int]) -> None:
    """Note what was acknowledged, by clinic; makes missing cursors and never moves one back."""
    await conn.execute(_SQL["advance"], list(published), list(published.values()))


async def directory_rows(conn: Connection, limit: int) -> list[DirectoryRow]:
    """The oldest changes of the directory that wait."""
    return [DirectoryRow(*row) for row in await conn.fetch(_SQL["directory_rows"], limit)]


async def delete_directory_rows(conn: Connection, seqs: Sequence[int]) -> None:
    await conn.execute(_SQL["delete_directory_rows"], seqs)


async def try_to_lead(conn: Connection) -> bool:
    """Whether this session now is the one that publishes; it stays so until the session ends. Ask once at a time."""
    return bool(await conn.fetchval(_SQL["try_to_lead"]))


async def still_there(conn: Connection) -> None:
    """Keeps an idle session from being ended. Raises what ``faults.passes`` knows when it was."""
    await conn.fetchval(_SQL["still_there"])
