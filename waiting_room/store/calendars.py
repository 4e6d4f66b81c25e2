"""Calendars as clinics change them: rules, overrides, busy times, feeds. One function a statement.

Who changes one locks its clinic first (``lock``), so that no booking is made under what is just being replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from waiting_room.domain.availability.fit import Booked, Busy
from waiting_room.domain.availability.rules import Availability, Override, OverrideKind
from waiting_room.domain.directory import Provider
from waiting_room.messages import DirectoryEntry
from waiting_room.store import directory, directory_outbox, sql
from waiting_room.store.pool import Connection

_SQL = sql.load("calendars")
_provider = msgspec.json.Decoder(Provider)
_encode = msgspec.json.Encoder().encode


class FeedEntry(NamedTuple):
    """A booking as a calendar program may see it: nobody's name."""

    booking_ref: str
    status: str
    service_type: str | None
    start_at: datetime
    end_at: datetime
    revision: int
    changed_at: datetime


async def lock(conn: Connection, clinic_id: str) -> datetime:
    """Lock the clinic until the caller's transaction ends; the database's clock. Raises KeyError if it is unknown."""
    await conn.execute(_SQL["lock_directory"])
    return await lock_clinic(conn, clinic_id)


async def lock_clinic(conn: Connection, clinic_id: str) -> datetime:
    """The same for who changes busy times alone: of these the directory says nothing."""
    now: datetime | None = await conn.fetchval(_SQL["lock_clinic"], clinic_id)
    if now is None:
        raise KeyError(clinic_id)
    return now


async def now(conn: Connection) -> datetime:
    """The database's clock."""
    at: datetime = await conn.fetchval(_SQL["now"])
    return at


async def provider(conn: Connection, clinic_id: str, provider_id: str) -> Provider | None:
    found = await conn.fetchval(_SQL["provider"], clinic_id, provider_id)
    return None if found is None else _provider.decode(found)


async def put_availability(
    conn: Connection, provider_id: str, availability: Availability, capacity: int | None
) -> None:
    """Replace the rules, and the number of seats where one is given. ``publish`` has to follow."""
    await conn.execute(_SQL["put_availability"], provider_id, _encode(availability).decode(), capacity)


async def overrides(conn: Connection, provider_id: str, since: datetime) -> list[Override]:
    """Those not over by ``since``, by time."""
    return [
        Override(
            override_id=row["override_id"],
            kind=OverrideKind(row["kind"]),
            from_at=row["from_at"],
            to_at=row["to_at"],
            slot_minutes=row["slot_minutes"],
        )
        for row in await conn.fetch(_SQL["overrides"], provider_id, since)
    ]


async def put_override(conn: Connection, provider_id: str, override: Override) -> None:
    """``publish`` has to follow."""
    await conn.execute(
        _SQL["put_override"],
        provider_id,
        override.override_id,
        override.kind,
        override.from_at,
        override.to_at,
        override.slot_minutes,
    )


async def delete_override(conn: Connection, provider_id: str, override_id: str) -> bool:
    """Whether there was one. ``publish`` has to follow."""
    return await conn.fetchval(_SQL["delete_override"], provider_id, override_id) is not None


async def publish(conn: Connection, clinic_id: str) -> None:
    """Once the caller's transaction is committed hold loads the clinic's rules anew and relay publishes them."""
    await directory.renew_rules(conn, [clinic_id])
    clinics = await directory.load(conn, [clinic_id])
    await directory_outbox.append(conn, [DirectoryEntry(clinic=clinic) for clinic in clinics])


async def busy(conn: Connection, provider_id: str, since: datetime) -> list[Busy]:
    """Those not over by ``since``, by time."""
    return [Busy(**row) for row in await conn.fetch(_SQL["busy"], provider_id, since)]


async def put_busy(conn: Connection, clinic_id: str, provider_id: str, times: Sequence[Busy]) -> None:
    """Add these, or put them in the place of those with the same source and id."""
    if times:
        rows = [(each.source, each.busy_id, each.from_at, each.to_at, each.seats) for each in times]
        columns = list(zip(*rows, strict=True))
        await conn.execute(_SQL["put_busy"], clinic_id, provider_id, *columns)
    await conn.execute(_SQL["renew_busy"], clinic_id)


async def replace_busy(conn: Connection, clinic_id: str, provider_id: str, source: str, times: Sequence[Busy]) -> None:
    """All that this source says from now on."""
    await conn.execute(_SQL["delete_busy_of_source"], provider_id, source)
    await put_busy(conn, clinic_id, provider_id, times)


async def delete_busy(conn: Connection, clinic_id: str, provider_id: str, source: str, busy_id: str) -> bool:
    """Whether there was one."""
    if await conn.fetchval(_SQL["delete_busy"], provider_id, source, busy_id) is None:
        return False
    await conn.execute(_SQL["renew_busy"], clinic_id)
    return True


async def booked(conn: Connection, clinic_id: str, provider_id: str, since: datetime) -> list[Booked]:
    """The provider's bookings that want their seats and are not over by ``since``, by time."""
    return [Booked(**row) for row in await conn.fetch(_SQL["booked"], clinic_id, provider_id, since)]


async def new_feed(conn: Connection, provider_id: str, token_hash: bytes) -> None:
    """From now on this token opens the provider's feed, and no other does."""
    await conn.execute(_SQL["new_feed"], token_hash, provider_id)


async def delete_feed(conn: Connection, provider_id: str) -> bool:
    """Whether there was one."""
    return await conn.fetchval(_SQL["delete_feed"], provider_id) is not None


async def provider_of_feed(conn: Connection, token_hash: bytes) -> str | None:
    found: str | None = await conn.fetchval(_SQL["provider_of_feed"], token_hash)
    return found


async def feed(conn: Connection, clinic_id: str, provider_id: str) -> list[FeedEntry]:
    """From a week ago on, by time."""
    return [FeedEntry(**row) for row in await conn.fetch(_SQL["feed"], clinic_id, provider_id)]
