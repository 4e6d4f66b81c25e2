"""What hold reads and writes besides bookings: rules, refs, seats, consumed offsets. One function a statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple, Protocol

import asyncpg
import msgspec

from waiting_room.domain.claim_days import pieces, utc_day
from waiting_room.domain.directory import AdapterKind, ClinicStatus, Provider, ServiceType
from waiting_room.domain.seats import Taken
from waiting_room.domain.waitlist import Freed
from waiting_room.store import sql
from waiting_room.store.pool import Connection

_SQL = sql.load("holds")
_services = msgspec.json.Decoder(tuple[ServiceType, ...])
_providers = msgspec.json.Decoder(tuple[Provider, ...])
CLAIM_COLUMNS: Final = (
    "clinic_id",
    "provider_id",
    "seat",
    "during",
    "day",
    "booking_ref",
    "revision",
    "claimed",
)


class Rules(msgspec.Struct, frozen=True):
    """What a clinic offers, as of one ``version`` of its calendar."""

    clinic_id: str
    version: int
    status: ClinicStatus
    timezone: str
    adapter: AdapterKind
    partition: int
    moving_to: int | None
    """The partition whose commands of this clinic wait, while the marker in the one before was not read."""
    service_types: Mapping[str, ServiceType]
    providers: Mapping[str, Provider]
    business_id: str
    cancel_notice_minutes: int
    good_until: datetime
    """To be read anew then, changed or not."""
    bookable_until: datetime
    """Starts from then on lie where the database has no room for claims yet (docs/storage.md)."""

    def is_stale(self, version: int, now: datetime) -> bool:
        """Whether they are to be read anew where their clinic is at this version."""
        return self.version != version or self.good_until <= now

    def cancel_notice(self, service_type: str | None) -> timedelta:
        """How long before its start a patient may still cancel an appointment of this service."""
        service = self.service_types.get(service_type or "")
        own = service.cancel_notice_minutes if service else None
        return timedelta(minutes=self.cancel_notice_minutes if own is None else own)


class Key(NamedTuple):
    """A ref and the idempotency key it was derived from."""

    ref: str
    app_id: str
    key_hash: bytes


class Window(NamedTuple):
    clinic_id: str
    provider_id: str
    from_at: datetime
    to_at: datetime


class Claim(NamedTuple):
    clinic_id: str
    provider_id: str
    seat: int
    start_at: datetime
    busy_until: datetime
    booking_ref: str
    revision: int

    @property
    def freed(self) -> Freed:
        """What comes free without it."""
        return Freed(self.provider_id, self.start_at, self.busy_until)


async def load_rules(conn: Connection, clinic_ids: Iterable[str]) -> dict[str, Rules]:
    """The rules of those of these clinics that exist."""
    return {
        row["clinic_id"]: Rules(
            clinic_id=row["clinic_id"],
            version=row["rules_version"],
            status=ClinicStatus(row["status"]),
            timezone=row["timezone"],
            adapter=AdapterKind(row["adapter"]),
            partition=row["partition"],
            moving_to=row["moving_to"],
            service_types={each.service_type: each for each in _services.decode(row["service_types"] or "[]")},
            providers={each.provider_id: each for each in _providers.decode(row["providers"] or "[]")},
            business_id=row["business_id"],
            cancel_notice_minutes=row["cancel_notice_minutes"],
            good_until=row["good_until"],
            bookable_until=row["bookable_until"],
        )
        for row in await conn.fetch(_SQL["load_clinics"], list(clinic_ids))
    }


async def claim_refs(conn: Connection, keys: Sequence[Key]) -> set[str]:
    """Those of these refs that are new."""
    return {row["ref"] for row in await conn.fetch(_SQL["claim_refs"], *_columns(keys))}


async def find_refs(conn: Connection, keys: Sequence[Key]) -> dict[str, str]:
    """For each ref whose key has made a booking, under this ref or another: the booking's ref."""
    return {row["ref"]: row["booking_ref"] for row in await conn.fetch(_SQL["find_refs"], *_columns(keys))}


async def add_aliases(conn: Connection, aliases: Sequence[tuple[Key, str]]) -> None:
    """From now on these refs lead to the bookings their keys had made before."""
    await conn.execute(_SQL["add_aliases"], *_columns([(*key, booking_ref) for key, booking_ref in aliases]))


async def leads_to(conn: Connection, refs: Iterable[str]) -> dict[str, str]:
    """For those of these refs that were claimed: the booking's ref, which may be another one."""
    return {row["ref"]: row["booking_ref"] for row in await conn.fetch(_SQL["leads_to"], list(refs))}


async def taken(conn: Connection, windows: Sequence[Window]) -> Taken:
    """The claims and busy times that reach into these windows; at most one window a provider."""
    found = Taken()
    for row in await conn.fetch(_SQL["taken"], *_columns(windows), *days_of(windows)):
        if row["seat"] is None:
            found.block(row["provider_id"], row["start_at"], row["busy_until"], row["seats"])
        else:
            found.add(row["provider_id"], row["seat"], row["start_at"], row["busy_until"])
    return found


async def dead_holds(conn: Connection, clinic_ids: Iterable[str], now: datetime) -> list[tuple[str, str]]:
    """(clinic_id, booking_ref) of holds that ran out and that no clinic can know of."""
    rows = await conn.fetch(_SQL["dead_holds"], list(clinic_ids), now)
    return [(row["clinic_id"], row["booking_ref"]) for row in rows]


async def claim_seats(conn: Connection, claims: Sequence[Claim]) -> None:
    """Seats were allotted in code, under the clinics' locks; the exclusion constraint has the last word.

    Raises asyncpg.ExclusionViolationError when a seat is not free.
    """
    await conn.copy_records_to_table("seat_claims", columns=CLAIM_COLUMNS, records=_claim_values(claims))


def _claim_values(claims: Iterable[Claim]) -> Iterator[tuple[object, ...]]:
    """A row for each day; that it is not all of the claim stands in it."""
    for clinic_id, provider_id, seat, start_at, busy_until, booking_ref, revision in claims:
        cut = pieces(start_at, busy_until)
        claimed = asyncpg.Range(start_at, busy_until) if len(cut) > 1 else None
        for day, from_at, to_at in cut:
            during = asyncpg.Range(from_at, to_at)
            yield clinic_id, provider_id, seat, during, day, booking_ref, revision, claimed


class Span(Protocol):
    """Of time, half-open."""

    @property
    def from_at(self) -> datetime: ...
    @property
    def to_at(self) -> datetime: ...


def days_of(spans: Iterable[Span]) -> tuple[date, date]:
    """The first and the last day (UTC) of these, of which there is at least one."""
    from_at, to_at = zip(*((each.from_at, each.to_at) for each in spans), strict=True)
    return utc_day(min(from_at)), utc_day(max(to_at))


async def claims_ahead(conn: Connection, clinic_ids: Sequence[str]) -> tuple[datetime, dict[str, int]]:
    """(now, claims from today on by clinic, where there are any)."""
    rows = await conn.fetch(_SQL["claims_ahead"], clinic_ids)
    return rows[-1]["now"], {row["clinic_id"]: row["claims"] for row in rows if row["clinic_id"] is not None}


async def consumed(conn: Connection, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """By partition, the next offset that is not yet in the database."""
    rows = await conn.fetch(_SQL["consumed"], topic, list(partitions))
    return {row["partition"]: row["next_offset"] for row in rows}


async def save_consumed(conn: Connection, topic: str, offsets: Mapping[int, int]) -> None:
    """Never moves an offset back."""
    await conn.execute(_SQL["save_consumed"], topic, list(offsets), list(offsets.values()))


def _columns(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return list(zip(*rows, strict=True))
