"""What an audit knows of one clinic: plain data from the log, the database, and whoever else kept a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from waiting_room.domain.appointment import State
from waiting_room.domain.directory import AdapterKind
from waiting_room.messages import BookingEvent

NO_TIME_LEFT_SECONDS = 60.0
"""A hold that ran out longer ago should have been noticed by sweep."""


class Appended(NamedTuple):
    """One record of a booking's command. ``in_time``: appended, by the broker's clock, before accept_by."""

    partition: int
    offset: int
    in_time: bool
    redriven: bool
    held: bool
    """Whether it lies before the offset up to which its partition is in the database."""
    after: int
    """The map version of the last marker of its clinic before it in its partition; 0 if there is none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Every record that asked for one booking, in the order of the log."""

    booking_ref: str
    app_id: str
    key_hash: bytes
    records: list[Appended] = field(default_factory=list)

    @property
    def in_time(self) -> bool:
        """Whether its caller could be told 202."""
        return any(record.in_time for record in self.records)


@dataclass(slots=True)
class Log:
    """One clinic's part of ``booking.requests``."""

    whole: bool = True
    """Whether retention has deleted nothing yet, so that what is not here was never asked."""
    books: dict[str, Asked] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    """Refs with a command to cancel that was appended in time."""
    closed: bool = False
    """Whether the clinic has closed for a while, so that bookings of it may be moved or cancelled unasked."""
    left: dict[int, int] = field(default_factory=dict)
    """By partition the map version of the clinic's last marker there."""

    def waits(self, booking_ref: str) -> bool:
        """Whether it was asked for in time and hold has not come to it yet."""
        asked = self.books.get(booking_ref)
        in_time = [record for record in asked.records if record.in_time] if asked else []
        return bool(in_time) and not any(record.held for record in in_time)


class Move(NamedTuple):
    """A row of ``clinic_moves``: with ``map_version`` the clinic's commands went from one partition to the other."""

    map_version: int
    from_partition: int
    to_partition: int


Stays = Mapping[int, Sequence[int]]
"""By partition, the map versions with which a clinic came to be there, ascending."""


class Answer(NamedTuple):
    """What a caller was told: an HTTP status, and the booking's ref if the answer named one."""

    idempotency_key: str
    booking_ref: str | None
    status: int | None
    outcome: str | None


ACKNOWLEDGED = frozenset({201, 202, 409})


@dataclass(frozen=True, slots=True)
class Row:
    """A row of ``appointments``, without the patient."""

    booking_ref: str
    app_id: str
    ticket: int | None
    state: State
    row_version: int
    provider_id: str | None
    seat: int | None
    start_at: datetime | None
    end_at: datetime | None
    hold_until: datetime | None
    clinic_booking_id: str | None
    doses: int
    key_remembered: bool
    """Whether its idempotency key is on record, so that a retry finds it."""
    archived: bool = False


class Elsewhere(NamedTuple):
    """How much of a clinic's is in months of the archive that are detached."""

    bookings: int = 0
    tickets: int = 0
    events: int = 0


class Claim(NamedTuple):
    """Of ``seat_claims``, put together where it is in pieces; [start_at, busy_until)."""

    booking_ref: str
    revision: int
    provider_id: str
    seat: int
    start_at: datetime
    busy_until: datetime


class Doses(NamedTuple):
    """A row of ``dose_claims`` or ``dose_shortages``: ``lot`` is (product, pool, lot), None where it is short."""

    booking_ref: str
    product: str
    doses: int
    lot: tuple[str, str, str] | None


class Figures(NamedTuple):
    """A lot's, as its row has them or as its movements add up to."""

    on_hand: int
    reserved: int
    administered: int
    wasted: int


class Endpoint(NamedTuple):
    """An active webhook endpoint of the clinic, or of the app ``app_id``, told of events from ``told_from`` on."""

    endpoint_id: str
    app_id: str | None
    events: frozenset[str]
    told_from: datetime


class Seen(NamedTuple):
    """A webhook that was taken. ``booking_sequence``: its number among its booking's public events, if it was noted."""

    verified: bool
    booking_sequence: int | None


class Kept(NamedTuple):
    """A booking in a clinic's own record. ``effective``: neither withdrawn nor moved."""

    booking_ref: str
    revision: int
    clinic_booking_id: str
    times_accepted: int
    effective: bool


class Counters(NamedTuple):
    last_ticket: int
    last_seq: int
    line: int
    published_seq: int
    waiting: int = 0


class Wish(NamedTuple):
    """A row of ``waitlist``: a start in [from_at, to_at) is waited for."""

    service_type: str
    provider_id: str | None
    from_at: datetime
    to_at: datetime


class Offered(NamedTuple):
    """A row of ``offers``."""

    offer_id: str
    booking_ref: str
    revision: int
    group_id: str
    to_all: bool
    provider_id: str
    start_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    outcome: str | None


@dataclass(slots=True, kw_only=True)
class ClinicFacts:
    """Everything known of one clinic. None where a source was not given."""

    clinic_id: str
    adapter: AdapterKind
    now: datetime
    """The database's clock at the snapshot."""
    settled: bool
    """Whether nothing may be waiting any more."""
    capacity: dict[str, int] = field(default_factory=dict)
    counters: Counters | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    kept_twice: list[str] = field(default_factory=list)
    """Archived, and still where they were before, or archived twice."""
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    events: list[BookingEvent] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """(booking_ref, why) of rows and events that are not what the database should let in."""
    claims: list[Claim] = field(default_factory=list)
    claims_since: date = date.min
    """Seats of the days (UTC) before have been put away."""
    doses: list[Doses] = field(default_factory=list)
    lots: dict[tuple[str, str, str], Figures] = field(default_factory=dict)
    """By (product, pool, lot)."""
    moved: dict[tuple[str, str, str], Figures] = field(default_factory=dict)
    """What each lot's movements add up to."""
    places: dict[str, bool] = field(default_factory=dict)
    """Bookings that count among their patients', to whether as pending ones."""
    dosed: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By booking, what its movements say it has reserved and was given."""
    wishes: dict[str, Wish] = field(default_factory=dict)
    """Of those who wait for a seat, or have."""
    offers: list[Offered] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    """Refs of this clinic whose key had booked before, to the booking it made."""
    dangling: set[str] = field(default_factory=set)
    """Of these, those that lead to no row."""
    endpoints: list[Endpoint] = field(default_factory=list)
    deliveries: dict[tuple[str, int], str] = field(default_factory=dict)
    """State by (endpoint_id, seq)."""
    log: Log = field(default_factory=Log)
    stays: Stays = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    kept: list[Kept] | None = None
    received: dict[tuple[str, int], Seen] | None = None
    """(endpoint_id, seq) of webhooks that arrived."""

    @property
    def events_of(self) -> dict[str, list[BookingEvent]]:
        """Each booking's events in order."""
        by_ref: dict[str, list[BookingEvent]] = {}
        for event in self.events:
            by_ref.setdefault(event.booking_ref, []).append(event)
        return by_ref
