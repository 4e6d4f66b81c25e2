"""What the audit reads: everything but the patients, in one snapshot, a few thousand bookings at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from waiting_room.audit.facts import (
    Claim,
    ClinicFacts,
    Counters,
    Doses,
    Elsewhere,
    Endpoint,
    Figures,
    Move,
    Offered,
    Row,
    Wish,
)
from waiting_room.domain.appointment import By, ClinicState, Reason, Stage, State, Status
from waiting_room.domain.booking_ref import clinic_of
from waiting_room.domain.directory import AdapterKind
from waiting_room.messages import BookingEvent, Reader, Unreadable
from waiting_room.store import sql
from waiting_room.store.pool import Connection
from waiting_room.topics import BOOKING_REQUESTS

_SQL = sql.load("audit")
_EVENTS_AT_ONCE = 100_000
_read_event: Reader[BookingEvent] = Reader(BookingEvent)


@dataclass(frozen=True, slots=True)
class ClinicHead:
    """A clinic; ``adapter`` and ``partition`` None where there are bookings and no clinic."""

    clinic_id: str
    adapter: AdapterKind | None
    partition: int | None
    counters: Counters | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is read once; mappings are by clinic_id but for ``consumed``."""

    now: datetime
    clinics: tuple[ClinicHead, ...]
    capacities: Mapping[str, dict[str, int]]
    moves: Mapping[str, list[Move]]
    """In the order of their map versions."""
    consumed: Mapping[int, int]
    """Next offset of each partition that hold had not stored."""
    aliases: Mapping[str, dict[str, tuple[str, bool]]]
    """A ref whose key had booked before, to the booking it leads to and whether that has a row."""
    endpoints: Mapping[str, list[Endpoint]]
    """Active ones."""
    app_endpoints: list[Endpoint]
    """Active ones of apps: they hear of every clinic."""
    claims_since: date
    """Seats of the days (UTC) before have been put away."""


async def take_snapshot(conn: Connection) -> Snapshot:
    """Call it first in a REPEATABLE READ transaction: the snapshot is taken by its first statement."""
    now: datetime = await conn.fetchval(_SQL["now"])
    capacities: dict[str, dict[str, int]] = defaultdict(dict)
    for row in await conn.fetch(_SQL["capacities"]):
        capacities[row["clinic_id"]][row["provider_id"]] = row["capacity"]
    aliases: dict[str, dict[str, tuple[str, bool]]] = defaultdict(dict)
    for row in await conn.fetch(_SQL["aliases"]):
        aliases[clinic_of(row["ref"])][row["ref"]] = row["booking_ref"], row["leads_to_row"]
    moves: dict[str, list[Move]] = defaultdict(list)
    for clinic_id, *move in await conn.fetch(_SQL["moves"]):
        moves[clinic_id].append(Move(*move))
    endpoints: dict[str, list[Endpoint]] = defaultdict(list)
    app_endpoints: list[Endpoint] = []
    for row in await conn.fetch(_SQL["endpoints"]):
        app_id = row["owner_id"] if row["owner_kind"] == "app" else None
        endpoint = Endpoint(row["endpoint_id"], app_id, frozenset(row["events"]), row["told_from"])
        (app_endpoints if app_id else endpoints[row["owner_id"]]).append(endpoint)
    return Snapshot(
        now=now,
        clinics=tuple(map(_head, await conn.fetch(_SQL["clinics"]))),
        capacities=capacities,
        moves=moves,
        consumed={row["partition"]: row["next_offset"] for row in await conn.fetch(_SQL["consumed"], BOOKING_REQUESTS)},
        aliases=aliases,
        endpoints=endpoints,
        app_endpoints=app_endpoints,
        claims_since=await conn.fetchval(_SQL["claims_since"]) or date.min,
    )


def portions(clinics: Sequence[ClinicHead]) -> Iterator[list[ClinicHead]]:
    """Clinics to load together, so that a portion has about as many events as fit into memory comfortably."""
    portion: list[ClinicHead] = []
    events = 0
    for clinic in clinics:
        portion.append(clinic)
        events += clinic.counters.last_seq if clinic.counters else 0
        if events >= _EVENTS_AT_ONCE:
            yield portion
            portion, events = [], 0
    if portion:
        yield portion


async def load(conn: Connection, facts: Mapping[str, ClinicFacts]) -> None:
    """Add these clinics' rows, events, claims, doses, lots, offers and deliveries, those of archived bookings too; in
    the snapshot's transaction.
    """
    clinic_ids = list(facts)
    for row in await conn.fetch(_SQL["rows"], clinic_ids):
        _add_row(facts[row["clinic_id"]], row)
    for row in await conn.fetch(_SQL["events"], clinic_ids):
        _add_event(facts[row["clinic_id"]], row)
    for clinic_id, *claim in await conn.fetch(_SQL["claims"], clinic_ids):
        facts[clinic_id].claims.append(Claim(*claim))
    for clinic_id, booking_ref, product, doses, pool, lot in await conn.fetch(_SQL["doses"], clinic_ids):
        whence = None if lot is None else (product, pool, lot)
        facts[clinic_id].doses.append(Doses(booking_ref, product, doses, whence))
    for clinic_id, product, pool, lot, *figures in await conn.fetch(_SQL["lots"], clinic_ids):
        facts[clinic_id].lots[product, pool, lot] = Figures(*figures)
    for clinic_id, product, pool, lot, *figures in await conn.fetch(_SQL["moved"], clinic_ids):
        facts[clinic_id].moved[product, pool, lot] = Figures(*figures)
    for clinic_id, booking_ref, pending in await conn.fetch(_SQL["places"], clinic_ids):
        facts[clinic_id].places[booking_ref] = pending
    for clinic_id, booking_ref, reserved, administered in await conn.fetch(_SQL["dosed"], clinic_ids):
        facts[clinic_id].dosed[booking_ref] = reserved, administered
    for clinic_id, booking_ref, *wish in await conn.fetch(_SQL["wishes"], clinic_ids):
        facts[clinic_id].wishes[booking_ref] = Wish(*wish)
    for clinic_id, *offered in await conn.fetch(_SQL["offers"], clinic_ids):
        facts[clinic_id].offers.append(Offered(*offered))
    for clinic_id, endpoint_id, seq, state in await conn.fetch(_SQL["deliveries"], clinic_ids):
        facts[clinic_id].deliveries[endpoint_id, seq] = state
    await _load_archived(conn, facts, clinic_ids)


async def _load_archived(conn: Connection, facts: Mapping[str, ClinicFacts], clinic_ids: list[str]) -> None:
    """Of a booking that is there twice only what is not archived is looked at."""
    only_here: set[str] = set()
    for row in await conn.fetch(_SQL["archived_rows"], clinic_ids):
        own, ref = facts[row["clinic_id"]], row["booking_ref"]
        if ref in own.rows:
            own.kept_twice.append(ref)
        else:
            only_here.add(ref)
            _add_row(own, row, archived=True)
    for clinic_id, *counts in await conn.fetch(_SQL["elsewhere"], clinic_ids):
        facts[clinic_id].elsewhere = Elsewhere(*counts)
    if not only_here:
        return
    for row in await conn.fetch(_SQL["archived_events"], clinic_ids):
        if row["booking_ref"] in only_here:
            _add_event(facts[row["clinic_id"]], row)
    for each in facts.values():
        each.events.sort(key=lambda event: event.seq)
    for clinic_id, booking_ref, *wish in await conn.fetch(_SQL["archived_wishes"], clinic_ids):
        facts[clinic_id].wishes.setdefault(booking_ref, Wish(*wish))
    for clinic_id, *offered in await conn.fetch(_SQL["archived_offers"], clinic_ids):
        facts[clinic_id].offers.append(Offered(*offered))
    for clinic_id, endpoint_id, seq, state in await conn.fetch(_SQL["archived_deliveries"], clinic_ids):
        facts[clinic_id].deliveries.setdefault((endpoint_id, seq), state)


def _head(row: Any) -> ClinicHead:
    counters = Counters(
        row["last_ticket"], row["last_seq"], row["line"], row["published_seq"] or 0, row["waiting"] or 0
    )
    return ClinicHead(
        row["clinic_id"],
        AdapterKind(row["adapter"]) if row["adapter"] else None,
        row["partition"],
        counters if row["last_seq"] is not None else None,
    )


def _add_row(facts: ClinicFacts, row: Any, *, archived: bool = False) -> None:
    try:
        state = State(
            Status(row["status"]),
            Stage(row["stage"]) if row["stage"] else None,
            ClinicState(row["clinic_state"]),
            Reason(row["reason"]) if row["reason"] else None,
            By(row["by"]) if row["by"] else None,
            row["revision"],
            row["moving_to"],
        )
    except ValueError as error:
        facts.unreadable.append((row["booking_ref"], f"the row cannot be read: {error}"))
        return
    facts.rows[row["booking_ref"]] = Row(
        booking_ref=row["booking_ref"],
        app_id=row["app_id"],
        ticket=row["ticket"],
        state=state,
        row_version=row["row_version"],
        provider_id=row["provider_id"],
        seat=row["seat"],
        start_at=row["start_at"],
        end_at=row["end_at"],
        hold_until=row["hold_until"],
        clinic_booking_id=row["clinic_booking_id"],
        doses=row["doses"],
        key_remembered=row["key_remembered"],
        archived=archived,
    )


def _add_event(facts: ClinicFacts, row: Any) -> None:
    try:
        event = _read_event(row["record"].encode())
    except Unreadable as error:
        facts.unreadable.append((row["booking_ref"], f"event {row['seq']} cannot be read: {error}"))
        return
    if (event.clinic_id, event.seq, event.booking_ref, event.event) != tuple(row)[:4]:
        facts.unreadable.append((row["booking_ref"], f"event {row['seq']} is another than its record says"))
        return
    facts.events.append(event)
