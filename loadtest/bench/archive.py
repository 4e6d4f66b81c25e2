"""How many bookings a second one sweep archives, and how long those wait meanwhile who book at the same clinics."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.bench.report import Result
from waiting_room.store.pool import SERVER_SETTINGS, Connection, Pool
from workers.sweep.archive import Archiving

CLINICS = 200
BOOKINGS_EACH = 150
DAYS_AGO = 40
BATCH_CLINICS = 20
"""Of one transaction that books: as many as hold's batches touch when it is busy."""
BOOKERS = 2
ALONE_SECONDS = 10.0
WAIT_MS = 200.0
"""Who waits longer for a lock gives up and splits the batch."""


async def measure(seed: int) -> Result:
    """Fill in, look at the waits alone, then archive beside them until nothing is left."""
    began = time.monotonic()
    shape = Shape(clinics=CLINICS, builtin_clinics=True, slow=0, down=0, webhooks=False, seed=seed)
    stack = Stack(shape, RUN / "bench-archive")
    chance = random.Random(seed)
    try:
        await stack.start_servers()
        clinics = [clinic["id"] for clinic in stack.world.clinics]
        before = await _fill(stack.owner_dsn)
        async with asyncpg.create_pool(stack.owner_dsn, min_size=0, server_settings=SERVER_SETTINGS) as pool:
            alone = await _beside(pool, clinics, chance, asyncio.sleep(ALONE_SECONDS))
            started = time.monotonic()
            waits = await _beside(pool, clinics, chance, _archive(pool))
            seconds = time.monotonic() - started
            async with pool.acquire() as conn:
                archived = await conn.fetchval("SELECT count(*) FROM archived_bookings")
                left = await conn.fetchval("SELECT count(*) FROM appointments")
                after = await conn.fetchval(_ARCHIVED_BYTES)
                look = await _look_up(conn)
    finally:
        await stack.stop()
    return Result(
        name="archive",
        promise="who books waits no longer for a clinic than without it, give or take a batch",
        target=f"longest wait < {WAIT_MS:g} ms",
        value=max(waits),
        unit="ms",
        passed=max(waits) < WAIT_MS and archived == CLINICS * BOOKINGS_EACH and left == 0,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={
            "bookings archived": archived,
            "archived, bookings/s": archived / seconds,
            **_figures("waiting for locks alone, ms", alone),
            **_figures("waiting for locks beside it, ms", waits),
            "bytes a booking before, indexes included": before / archived,
            "bytes a booking in the archive": after / archived,
            **look,
        },
        notes=[f"each transaction locks {BATCH_CLINICS} of {CLINICS} clinics; {BOOKERS} at a time, without pause"],
    )


async def _fill(dsn: str) -> int:
    """Bookings that are long over, each with all that it leaves; how many bytes they take."""
    conn = await asyncpg.connect(dsn)
    try:
        began = datetime.now(UTC) - timedelta(days=DAYS_AGO)
        await conn.execute("SELECT add_claim_ranges($1::date - 10, $1::date)", began.date())
        await conn.execute(_FILL, began, BOOKINGS_EACH)
        await conn.execute(_CLAIMS)
        await conn.execute("ANALYZE")
        size: int = await conn.fetchval(_BYTES)
        return size
    finally:
        await conn.close()


async def _archive(pool: Pool) -> None:
    """As sweep does, round after round."""
    archiving = Archiving(pool, DAYS_AGO - 10)
    while await pool.fetchval("SELECT EXISTS (SELECT FROM appointments)"):
        await archiving.look()


async def _beside(pool: Pool, clinics: Sequence[str], chance: random.Random, work: Any) -> list[float]:
    """How long transactions like hold's wait for their clinics' locks while ``work`` is done, in milliseconds."""
    waits: list[float] = []
    done = asyncio.create_task(work)

    async def book() -> None:
        async with pool.acquire() as conn:
            while not done.done():
                chosen = sorted(chance.sample(clinics, BATCH_CLINICS))
                async with conn.transaction():
                    asked = time.monotonic()
                    await conn.execute(_LOCK, chosen)
                    waits.append((time.monotonic() - asked) * 1_000)
                    await conn.execute(_WRITE, chosen)

    await asyncio.gather(done, *(book() for _ in range(BOOKERS)))
    return waits


async def _look_up(conn: Connection) -> dict[str, float]:
    """What a look for a ref costs that is nowhere, with one month and with ten years of them, in milliseconds."""
    took = {}
    for months in (1, 120):
        for month in range(months):
            await conn.execute(_MAKE, month)
        await conn.fetch(_PROBE, ["0001-NONE"])
        started = time.monotonic()
        for _ in range(200):
            await conn.fetch(_PROBE, ["0001-NONE"])
        took[f"a look for a ref that is nowhere, {months} months, ms"] = (time.monotonic() - started) * 5
    return took


def _figures(what: str, waits: list[float]) -> dict[str, float]:
    ordered = sorted(waits)
    return {
        f"{what}: p50": ordered[len(ordered) // 2],
        f"{what}: p99": ordered[len(ordered) * 99 // 100],
        f"{what}: longest": ordered[-1],
    }


_LOCK = "SELECT FROM clinic_counters WHERE clinic_id = any($1) ORDER BY clinic_id FOR NO KEY UPDATE"
_WRITE = "UPDATE clinic_counters SET line = line WHERE clinic_id = any($1)"
_PROBE = "SELECT FROM archived_bookings WHERE clinic_id = '0001' AND booking_ref = any($1)"
_MAKE = "SELECT make_archive_range((current_date - make_interval(months => $1))::date)"
_BYTES = """
SELECT sum(pg_total_relation_size(c.oid))::bigint
FROM pg_class AS c
WHERE c.relname IN ('appointments', 'appointment_events', 'call_attempts', 'notifications')
"""
_ARCHIVED_BYTES = """
SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'archived_bookings'::regclass
"""
_CLAIMS = """
INSERT INTO seat_claims (clinic_id, provider_id, seat, during, day, booking_ref, revision)
SELECT clinic_id, provider_id, seat, tstzrange(start_at, end_at), (start_at AT TIME ZONE 'UTC')::date, booking_ref, 1
FROM appointments
"""
_FILL = """
WITH made AS (
    SELECT
        c.clinic_id,
        n,
        c.clinic_id || '-' || upper(substr(md5(c.clinic_id || n), 1, 4)) || '-' || upper(substr(md5(n || 'x'), 1, 4))
        || '-' || upper(substr(md5('y' || n || c.clinic_id), 1, 4)) || '-' || lpad(n::text, 4, '0') AS booking_ref,
        (SELECT min(p.provider_id) FROM providers AS p WHERE p.clinic_id = c.clinic_id) AS provider_id,
        date_trunc('day', $1::timestamptz) - interval '4 days' + n * interval '20 minutes' AS start_at,
        $1::timestamptz - interval '8 days' AS accepted_at
    FROM clinics AS c, generate_series(1, $2::integer) AS n
),

refs AS (
    INSERT INTO booking_refs (ref, app_id, key_hash, booking_ref)
    SELECT booking_ref, 'app', sha256(booking_ref::bytea), booking_ref FROM made
),

rows AS (
    INSERT INTO appointments (
        clinic_id, booking_ref, app_id, ticket, status, clinic_state, provider_id, seat, service_type, start_at, end_at,
        patient_id, patient, body_hash, accepted_at, held_at, decided_at, hold_until, row_version
    )
    SELECT
        clinic_id, booking_ref, 'app', n, 'completed', 'booked', provider_id, 0, 'consultation', start_at,
        start_at + interval '15 minutes', 'h1.' || substr(md5(booking_ref), 1, 22), sha512(booking_ref::bytea),
        sha256(booking_ref::bytea), accepted_at, accepted_at, accepted_at, start_at, 6
    FROM made
),

events AS (
    INSERT INTO appointment_events (clinic_id, seq, booking_ref, event, at, record)
    SELECT
        m.clinic_id, (m.n - 1) * 6 + e.nr, m.booking_ref, e.event, m.start_at,
        jsonb_build_object(
            'type', 'event', 'version', 3, 'clinic_id', m.clinic_id, 'seq', (m.n - 1) * 6 + e.nr,
            'booking_ref', m.booking_ref, 'app_id', 'app', 'event', e.event, 'at', m.start_at, 'status', 'pending',
            'stage', 'held', 'clinic_state', 'none', 'reason', NULL, 'by', NULL, 'revision', 1, 'row_version', e.nr,
            'ticket', m.n, 'provider_id', m.provider_id, 'service_type', 'consultation', 'start_at', m.start_at,
            'end_at', m.start_at + interval '15 minutes', 'moving_to', NULL
        )
    FROM made AS m
    CROSS JOIN unnest(ARRAY[
        'booking.accepted', 'booking.held', 'booking.calling', 'booking.confirmed', 'booking.arrived',
        'booking.completed'
    ]) WITH ORDINALITY AS e (event, nr)
),

calls AS (
    INSERT INTO call_attempts (
        clinic_id, booking_ref, attempt, kind, revision, worker_id, claimed_at, lease_until, ended_at, outcome
    )
    SELECT clinic_id, booking_ref, 1, 'confirm', 1, 'worker', accepted_at, accepted_at, accepted_at, 'confirmed'
    FROM made
),

messages AS (
    INSERT INTO notifications (
        clinic_id, booking_ref, revision, kind, channel, state, due_at, next_attempt_at, attempts, ended_at
    )
    SELECT m.clinic_id, m.booking_ref, 1, k.kind, 'email', 'sent', m.accepted_at, m.accepted_at, 1, m.accepted_at
    FROM made AS m, unnest(ARRAY['confirmed', 'reminder-24h', 'reminder-1h']) AS k (kind)
),

cursors AS (
    UPDATE relay_cursors SET published_seq = 6 * $2::integer
)

UPDATE clinic_counters SET last_seq = 6 * $2::integer, last_ticket = $2::integer
"""
