"""How fast it is told what is free, over 100,000 providers and up to five million appointments, and whether it is so.

Cold is a provider nobody has asked for before; warm is one that was asked for a moment ago. Both ask for 14 days.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from devstack import roles
from devstack.processes import Process
from devstack.stack import RUN, Stack
from devstack.world import APP, Shape
from loadtest.bench.report import Result
from loadtest.measure import Histogram, Percentiles
from waiting_room.access import OwnerKind

CLINICS, PROVIDERS = 20_000, 5
A_DAY = 500_000
DAYS = (1, 3, 10)
"""How many days of appointments are there, one measurement after the other."""

RATE = 200
SECONDS = 12
WARM_PROVIDERS = 400
WARM_MS, COLD_MS = 25.0, 200.0
BOOKINGS = 300


async def measure(seed: int) -> Result:
    """Load, measure cold and warm, load more; at the end book and look at once."""
    began = time.monotonic()
    shape = Shape(
        clinics=CLINICS,
        providers=PROVIDERS,
        partitions=512,
        builtin_clinics=True,
        slow=0,
        down=0,
        webhooks=False,
        seed=seed,
    )
    stack = Stack(shape, RUN / "bench-slots")
    rows: dict[str, Any] = {"providers": CLINICS * PROVIDERS}
    worst: dict[str, float] = {"cold": 0.0, "warm": 0.0}
    chance, failures = random.Random(seed), 0
    try:
        keys = await stack.start_servers()
        providers = [each for clinic in stack.world.clinics for each in clinic["provider_ids"]]
        chance.shuffle(providers)
        unseen = iter(providers)
        async with ingress_of(stack) as (_, base), session_of(base, keys[OwnerKind.APP, APP]) as session:
            loaded = 0
            for days in DAYS:
                seconds = await load(stack.owner_dsn, loaded, days)
                await asyncio.to_thread(_read_in, stack.folder / "data" / "postgres")
                rows[f"{days * A_DAY:,} appointments: loaded in, s"] = seconds
                loaded = days
                cold = await ask(session, lambda: next(unseen))
                known = [next(unseen) for _ in range(WARM_PROVIDERS)]
                await ask(session, iter(known).__next__, len(known))
                warm = await ask(session, partial(chance.choice, known))
                for name, (figures, failed) in (("cold", cold), ("warm", warm)):
                    rows[f"{days * A_DAY:,} appointments: {name} p50 / p99 / max, ms"] = (
                        f"{figures.p50:.1f} / {figures.p99:.1f} / {figures.max:.1f}"
                    )
                    worst[name] = max(worst[name], figures.p99)
                    failures += failed
            rows["database, MB"] = await _size(stack.owner_dsn)
            shown_free, told = await _book_and_look(stack, session, [next(unseen) for _ in range(BOOKINGS)])
            rows |= {
                "requests that failed": failures,
                "decided, then asked for": told,
                "of these told free": shown_free,
            }
    finally:
        await stack.stop()
    return Result(
        name="slots",
        promise=f"slots of 14 days at {RATE} requests/s; none free that was decided before",
        target=f"p99 < {WARM_MS:.0f} ms warm, < {COLD_MS:.0f} ms cold, 0 told free",
        value=worst["warm"],
        unit="ms",
        passed=worst["warm"] < WARM_MS and worst["cold"] < COLD_MS and (shown_free, failures) == (0, 0) and told > 0,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={"warm p99, worst, ms": worst["warm"], "cold p99, worst, ms": worst["cold"], **rows},
        notes=[
            "one ingress process; the machine also runs Kafka, PostgreSQL and the sender",
            "cold is new to ingress; what PostgreSQL has lies in the machine's memory, beyond its 256 MB of buffers",
        ],
    )


async def ask(
    session: aiohttp.ClientSession, choose: Callable[[], str], count: int = RATE * SECONDS
) -> tuple[Percentiles, int]:
    """``count`` requests, open loop: latency counts from when each was due; and how many were not answered 200."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    latency, failed = Histogram(), 0

    async def one(due: float, provider_id: str) -> None:
        nonlocal failed
        async with session.get(_path(provider_id)) as answer:
            await answer.read()
            failed += answer.status != 200
        latency.record(loop.time() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            due = begin + number / RATE
            await asyncio.sleep(max(due - loop.time(), 0))
            group.create_task(one(due, choose()))
    figures = latency.percentiles()
    assert figures is not None
    return figures, failed


def _path(provider_id: str) -> str:
    return f"/v1/providers/{provider_id}/slots?service=consultation"


async def _book_and_look(stack: Stack, session: aiohttp.ClientSession, providers: list[str]) -> tuple[int, int]:
    """(slots told free although they were decided before, bookings looked at): each was asked for just before it."""
    hold, _ = roles.worker("hold", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
    relay, _ = roles.worker("relay", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
    await asyncio.gather(hold.start(), relay.start())
    at_once = asyncio.Semaphore(16)
    shown_free = told = 0

    async def slots(provider_id: str) -> dict[str, str]:
        async with session.get(_path(provider_id)) as answer:
            return {each["start_at"]: each["status"] for each in (await answer.json())["slots"]}

    async def one(provider_id: str) -> None:
        nonlocal shown_free, told
        async with at_once:
            start_at = next(start for start, status in (await slots(provider_id)).items() if status == "free")
            body = {
                "provider_id": provider_id,
                "service_type": "consultation",
                "patient": {"id": f"patient-{provider_id}"},
                "start_at": start_at,
            }
            headers = {"Idempotency-Key": str(uuid.uuid4()), "Prefer": "wait=20"}
            async with session.post("/v1/appointments", json=body, headers=headers) as answer:
                decided = answer.status == 201
            if decided:
                told += 1
                shown_free += (await slots(provider_id))[start_at] == "free"

    try:
        await asyncio.gather(*(one(provider_id) for provider_id in providers))
    finally:
        await asyncio.gather(hold.stop(), relay.stop())
    return shown_free, told


async def load(dsn: str, loaded: int, days: int) -> float:
    """Appointments for the days from ``loaded`` on: five a provider and day. The seconds it took."""
    began = time.monotonic()
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
        for statement in _DROP:
            await connection.execute(statement)
        first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        for day in range(loaded, days):
            await connection.execute(_APPOINTMENTS, first + timedelta(days=day), day)
            await connection.execute(_CLAIMS, first + timedelta(days=day), day)
        for statement in _CREATE:
            await connection.execute(statement)
        await connection.execute("VACUUM ANALYZE appointments")
        await connection.execute("VACUUM ANALYZE seat_claims")
        await connection.execute("CHECKPOINT")  # gigabytes of a load that nobody has in production, written back now
    finally:
        await connection.close()
    return time.monotonic() - began


def _read_in(folder: Path) -> None:
    """All of it, so that the system keeps it in memory, as that of a server does which has run for a while: a fresh
    load has been written, and put out of the way again.
    """
    for path in sorted(folder.rglob("base/**/*")):
        with suppress(OSError), path.open("rb", buffering=0) as file:
            while file.read(1 << 22):
                pass


async def _size(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        size: int = await connection.fetchval("SELECT pg_database_size(current_database()) / 1000000")
        return size
    finally:
        await connection.close()


@asynccontextmanager
async def ingress_of(stack: Stack, **settings: str) -> AsyncIterator[tuple[Process, str]]:
    """One beside the stack's, with its address. ``settings``: of the environment, beyond the stack's own."""
    process, base = roles.ingress({**stack.env(), **settings}, stack.owner_dsn, stack.secrets, stack.logs)
    await process.start()
    try:
        yield process, base
    finally:
        await process.stop()


@asynccontextmanager
async def session_of(base: str, key: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A caller with this key."""
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base, headers=headers, connector=connector) as session:
        yield session


_DROP = (
    "ALTER TABLE seat_claims DROP CONSTRAINT seat_claims_no_overlap",
    "DROP INDEX appointments_of_patient, appointments_of_day",
)
_CREATE = (
    "CREATE INDEX appointments_of_patient ON appointments (app_id, patient_id, booking_ref)",
    "CREATE INDEX appointments_of_day ON appointments (clinic_id, start_at)",
    """
    ALTER TABLE seat_claims ADD CONSTRAINT seat_claims_no_overlap
    EXCLUDE USING gist (clinic_id WITH =, provider_id WITH =, seat WITH =, during WITH &&, day WITH =)
    """,
)
_APPOINTMENTS = """
INSERT INTO appointments (
    clinic_id, booking_ref, app_id, ticket, status, stage, provider_id, seat, service_type, start_at, end_at,
    patient_id, patient, accepted_at, held_at, decided_at
)
SELECT
    p.clinic_id,
    p.clinic_id || '-' || p.provider_id || '-' || $2::int || '-' || n.nr,
    'demo-app',
    $2::int * 100 + n.nr,
    CASE WHEN n.nr = 4 THEN 'pending' ELSE 'confirmed' END,
    CASE WHEN n.nr = 4 THEN 'held' END,
    p.provider_id,
    0,
    'consultation',
    $1::timestamptz + interval '7 hours' + n.nr * interval '2 hours',
    $1::timestamptz + interval '7 hours 30 minutes' + n.nr * interval '2 hours',
    'patient-' || n.nr,
    '{"id": "patient"}',
    now(),
    now(),
    CASE WHEN n.nr <> 4 THEN now() END
FROM providers AS p
CROSS JOIN generate_series(0, 4) AS n (nr)
"""
_CLAIMS = """
INSERT INTO seat_claims (clinic_id, provider_id, seat, during, day, booking_ref, revision)
SELECT
    p.clinic_id,
    p.provider_id,
    0,
    tstzrange(
        $1::timestamptz + interval '7 hours' + n.nr * interval '2 hours',
        $1::timestamptz + interval '7 hours 30 minutes' + n.nr * interval '2 hours'
    ),
    ($1::timestamptz AT TIME ZONE 'UTC')::date,
    p.clinic_id || '-' || p.provider_id || '-' || $2::int || '-' || n.nr,
    1
FROM providers AS p
CROSS JOIN generate_series(0, 4) AS n (nr)
"""
