"""Seat claims by month and clinic against all of them in one table: claimed, looked up and freed; and what it costs
those who book that months are put away meanwhile.

Through the store's own functions, on PostgreSQL alone. The two tables take turns, each empty at first.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final, NamedTuple

import asyncpg

from devstack.postgres_server import PostgresServer
from devstack.stack import RUN
from loadtest.bench.report import Result
from waiting_room import storage
from waiting_room.domain.booking_ref import clinic_id_of_number
from waiting_room.domain.claim_days import first_of_month
from waiting_room.storage import Limits
from waiting_room.store import holds, slots, sql
from waiting_room.store.holds import Claim, Window
from waiting_room.store.migrate import migrate
from waiting_room.store.pool import SERVER_SETTINGS, Connection

CLINICS, PROVIDERS, DAYS, A_DAY = 500, 3, 14, 16
CLAIMS = 40_000
BATCH = 200
ROUNDS = 3
ASKED = 400
WRITERS = 4
QUIET_SECONDS = 5.0
OLD_MONTHS = 6
WORTH = 0.95
"""A table in parts takes at least so much of what one table takes."""
FOLDER: Final = RUN / "bench-partitions"
IN_PARTS, IN_ONE = "public", "in_one, public"
"""Where each looks for seat_claims first."""


class Cost(NamedTuple):
    """Claims a second, and milliseconds: of a batch's look at what is taken, of 14 days of a provider, of ten freed."""

    claims_per_second: float
    batch_ms: float
    fortnight_ms: float
    freed_ms: float


class Stalls(NamedTuple):
    """Milliseconds a transaction of a writer took."""

    p99: float
    longest: float
    transactions: int


async def measure(seed: int) -> Result:
    """The value is claims a second in parts over those in one table."""
    began = time.monotonic()
    shutil.rmtree(FOLDER / "data", ignore_errors=True)
    server = PostgresServer(FOLDER / "data")
    await server.start()
    try:
        dsn = await _prepare(server)
        claims = _claims(random.Random(seed))
        await _book(dsn, claims)
        costs: dict[str, list[Cost]] = {IN_ONE: [], IN_PARTS: []}
        for _ in range(ROUNDS):
            for where, found in costs.items():
                async with _connected(dsn, where) as conn:
                    found.append(await _cost(conn, claims))
        quiet, while_put_away, put_away, seconds = await _stalls(dsn)
    finally:
        await server.stop()
        shutil.rmtree(FOLDER / "data", ignore_errors=True)
    one, parts = (Cost(*map(median, zip(*costs[where], strict=True))) for where in (IN_ONE, IN_PARTS))
    value = parts.claims_per_second / one.claims_per_second
    return Result(
        name="partitions",
        promise="seat claims in parts cost hold no more than in one table, and nobody waits while months are put away",
        target=f">= {WORTH} of the claims/s; no transaction fails",
        value=value,
        unit="of the claims/s",
        passed=value >= WORTH and len(put_away) >= OLD_MONTHS - 1,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={
            "claims/s: one table / in parts": f"{one.claims_per_second:,.0f} / {parts.claims_per_second:,.0f}",
            f"what is taken, {BATCH} bookings, ms": f"{one.batch_ms:.2f} / {parts.batch_ms:.2f}",
            "14 days of a provider, ms": f"{one.fortnight_ms:.2f} / {parts.fortnight_ms:.2f}",
            "ten bookings' seats freed, ms": f"{one.freed_ms:.2f} / {parts.freed_ms:.2f}",
            f"transaction of {WRITERS} writers, p99 / longest, ms": f"{quiet.p99:.1f} / {quiet.longest:.1f}",
            "the same while months are put away": f"{while_put_away.p99:.1f} / {while_put_away.longest:.1f}",
            "months put away, s": f"{len(put_away)} in {seconds:.1f}",
            "transactions meanwhile": while_put_away.transactions,
        },
        notes=[f"{CLAIMS:,} claims at {CLINICS} clinics in batches of {BATCH}; median of {ROUNDS} rounds each"],
    )


async def _prepare(server: PostgresServer) -> str:
    """The schema, and the table as it was before it had parts."""
    admin = await asyncpg.connect(server.dsn())
    await admin.execute("CREATE DATABASE partitions")
    await admin.close()
    dsn = f"{server.dsn('partitions')}?sslmode=disable"
    await migrate(dsn)
    async with _connected(dsn, IN_PARTS) as conn:
        await storage.look_after(conn, LIMITS)
        await conn.execute(_IN_ONE)
    return dsn


LIMITS: Final = Limits(book_ahead=90, keep=35, drop=400)


@asynccontextmanager
async def _connected(dsn: str, where: str) -> AsyncIterator[Connection]:
    """As hold is, but for the login."""
    connection = await asyncpg.connect(dsn, server_settings={**SERVER_SETTINGS, "search_path": where})
    try:
        yield connection
    finally:
        await connection.close()


def _claims(chance: random.Random) -> list[Claim]:
    """Half an hour each, nowhere two at once."""
    begin = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(days=1)
    times = [
        (number, provider, begin + timedelta(days=day, minutes=30 * slot))
        for number in range(1, CLINICS + 1)
        for provider in range(1, PROVIDERS + 1)
        for day in range(DAYS)
        for slot in range(A_DAY)
    ]
    found = []
    for nr, (number, provider, start_at) in enumerate(chance.sample(times, CLAIMS)):
        clinic_id = clinic_id_of_number(number)
        until, ref = start_at + timedelta(minutes=30), f"{clinic_id}-{nr:06}"
        found.append(Claim(clinic_id, f"{clinic_id}-{provider}", 0, start_at, until, ref, 1))
    return found


async def _book(dsn: str, claims: Sequence[Claim]) -> None:
    """The rows that claims refer to."""
    async with _connected(dsn, IN_PARTS) as conn:
        for batch in _batches(claims):
            await _copy_bookings(conn, batch)
        await conn.execute("VACUUM ANALYZE appointments")


async def _copy_bookings(conn: Connection, claims: Sequence[Claim]) -> None:
    await conn.copy_records_to_table(
        "appointments",
        columns=(
            *("clinic_id", "booking_ref", "app_id", "ticket", "status", "stage", "provider_id", "seat", "start_at"),
            *("end_at", "accepted_at"),
        ),
        records=[
            (
                *(each.clinic_id, each.booking_ref, "app", 1, "pending", "held", each.provider_id, each.seat),
                *(each.start_at, each.busy_until, each.start_at),
            )
            for each in claims
        ],
    )


def _batches(claims: Sequence[Claim]) -> list[Sequence[Claim]]:
    return [claims[at : at + BATCH] for at in range(0, len(claims), BATCH)]


def _windows(claims: Sequence[Claim]) -> list[Window]:
    """One a provider, as hold asks."""
    reach: dict[tuple[str, str], tuple[datetime, datetime]] = {}
    for each in claims:
        had = reach.get((each.clinic_id, each.provider_id), (each.start_at, each.busy_until))
        reach[each.clinic_id, each.provider_id] = min(had[0], each.start_at), max(had[1], each.busy_until)
    return [Window(*whose, *when) for whose, when in reach.items()]


async def _cost(conn: Connection, claims: Sequence[Claim]) -> Cost:
    await conn.execute("TRUNCATE seat_claims")
    looked = claimed = freed = 0.0
    for batch in _batches(claims):
        async with conn.transaction():
            begin = time.perf_counter()
            await holds.taken(conn, _windows(batch))
            took = time.perf_counter()
            await holds.claim_seats(conn, batch)
            looked, claimed = looked + took - begin, claimed + time.perf_counter() - took
    await conn.execute("ANALYZE seat_claims")
    now = datetime.now(UTC)
    asked = [Window(each.clinic_id, each.provider_id, now, now + timedelta(days=14)) for each in claims[:ASKED]]
    begin = time.perf_counter()
    for window in asked:
        await slots.taken(conn, [window])
    fortnight = time.perf_counter() - begin
    tens = [batch[:10] for batch in _batches(claims)]
    begin = time.perf_counter()
    for ten in tens:
        await conn.fetch(_FREE, [each.clinic_id for each in ten], [each.booking_ref for each in ten])
    freed = time.perf_counter() - begin
    return Cost(len(claims) / claimed, looked * 1e3 / len(tens), fortnight * 1e3 / len(asked), freed * 1e3 / len(tens))


async def _stalls(dsn: str) -> tuple[Stalls, Stalls, list[str], float]:
    """Of writers by themselves, and while months go; which went, in how many seconds."""
    async with _connected(dsn, IN_PARTS) as owner:
        today = await owner.fetchval("SELECT current_date")
        await owner.execute("TRUNCATE seat_claims, appointments CASCADE")
        await owner.fetchval("SELECT add_claim_ranges($1, $2)", first_of_month(today, -OLD_MONTHS), today)
    quiet = asyncio.Event()
    gone = asyncio.Event()
    before: list[float] = []
    meanwhile: list[float] = []
    writers = [asyncio.create_task(_write(dsn, number, quiet, gone, before, meanwhile)) for number in range(WRITERS)]
    try:
        await asyncio.sleep(QUIET_SECONDS)
        quiet.set()
        begin = time.perf_counter()
        async with _connected(dsn, IN_PARTS) as owner:
            done = await storage.look_after(owner, LIMITS)
        seconds = time.perf_counter() - begin
        await asyncio.sleep(1)
    finally:
        gone.set()
        await asyncio.gather(*writers)
    assert done is not None
    return _of(before), _of(meanwhile), done.put_away, seconds


async def _write(
    dsn: str, number: int, quiet: asyncio.Event, gone: asyncio.Event, before: list[float], meanwhile: list[float]
) -> None:
    """Books and claims as hold does, ten at a time. Raises what the database refuses."""
    begin_at = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0) + timedelta(days=1)
    clinic_id, nr = clinic_id_of_number(number + 1), 0
    async with _connected(dsn, IN_PARTS) as conn:
        while not gone.is_set():
            claims = [
                Claim(clinic_id, f"{clinic_id}-{at}", 0, start_at, start_at + timedelta(minutes=1), ref, 1)
                for at in range(nr, nr + 10)
                for start_at in (begin_at + timedelta(days=at % 60),)
                for ref in (f"{clinic_id}-{at:07}",)
            ]
            nr += 10
            into = meanwhile if quiet.is_set() else before
            begin = time.perf_counter()
            async with conn.transaction():
                await _copy_bookings(conn, claims)
                await holds.claim_seats(conn, claims)
            into.append(time.perf_counter() - begin)


def _of(seconds: list[float]) -> Stalls:
    ascending = sorted(seconds)
    return Stalls(ascending[int(len(ascending) * 0.99)] * 1e3, ascending[-1] * 1e3, len(ascending))


_FREE: Final[Any] = sql.load("journal")["free_seats"]
_IN_ONE: Final = """
CREATE SCHEMA in_one;
CREATE TABLE in_one.seat_claims (
    clinic_id text NOT NULL,
    provider_id text NOT NULL,
    seat integer NOT NULL CHECK (seat >= 0),
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    day date NOT NULL,
    booking_ref text NOT NULL,
    revision integer NOT NULL,
    claimed tstzrange,
    PRIMARY KEY (clinic_id, booking_ref, revision),
    FOREIGN KEY (clinic_id, booking_ref) REFERENCES public.appointments (clinic_id, booking_ref),
    EXCLUDE USING gist (clinic_id WITH =, provider_id WITH =, seat WITH =, during WITH &&)
)
"""
