"""Holds for ``B=scale``: one process drains 1, 10 and 100 times as many bookings, with everything in play."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg
import msgspec

from devstack import roles
from devstack.processes import Process
from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.bench import cpu
from loadtest.bench.fill import append, held
from waiting_room.domain.availability.rules import Availability, Break, Holidays, Weekly

CLINICS = 500
SEATS = 4
BOOKINGS = 300
"""At one times."""
WARMING = 3_000
ENV = {"WAITING_ROOM_KAFKA_SESSION_TIMEOUT_MS": "120000"}
"""Hold stands still while the topic is filled and must not be taken for dead."""


class Drained(NamedTuple):
    """``cpu_seconds`` of hold and of PostgreSQL; ``a_second`` between the first tenth and the last booking."""

    bookings: int
    held: int
    cpu_seconds: dict[str, float]
    a_second: float
    doses: int


async def measure(times: Sequence[int], seed: int) -> list[Drained]:
    """One after the other, on tables that grow."""
    stack = Stack(Shape(clinics=CLINICS, partitions=512, webhooks=False, seed=seed), RUN / "bench-scale", extra_env=ENV)
    try:
        await stack.start_servers()
        connection = await asyncpg.connect(stack.owner_dsn)
        hold, _ = roles.worker("hold", stack.env(), stack.owner_dsn, stack.secrets, stack.logs)
        try:
            await _put_in_play(connection)
            await hold.start()
            there = await _drain(stack, connection, hold, 0, WARMING, seed)
            drained = []
            for number, each in enumerate(times, 1):
                more = each * BOOKINGS
                drained.append(await _drain(stack, connection, hold, there.bookings, more, seed + number))
                there = there._replace(bookings=there.bookings + more)
            return drained
        finally:
            await hold.stop()
            await connection.close()
    finally:
        await stack.stop()


async def _drain(
    stack: Stack,
    connection: asyncpg.Connection[asyncpg.Record],
    hold: Process,
    there: int,
    more: int,
    seed: int,
) -> Drained:
    """All of them wait before the first is held."""
    chance = random.Random(seed)
    wanted = Counter(chance.choice(stack.world.clinics)["id"] for _ in range(more))
    assert stack.postgres is not None
    hold.freeze()
    try:
        await append(stack, wanted, seed)
        before = {"hold": cpu.of(hold.pid), "PostgreSQL": cpu.of(stack.postgres.pid)}
    finally:
        hold.thaw()
    await held(connection, there + more)
    spent = cpu.spent(before, {"hold": cpu.of(hold.pid), "PostgreSQL": cpu.of(stack.postgres.pid)})
    row = await connection.fetchrow(_DRAINED, there, there + more // 10)
    assert row is not None
    return Drained(more, row["held"], spent, row["later"] / max(row["seconds"], 1e-3), row["doses"])


async def _put_in_play(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Rules of each provider's own, several seats, buffers, doses out of several lots."""
    rules = Availability(
        weekly=tuple(
            Weekly(weekday=day, from_=begin, to=end, slot_minutes=15)
            for day in range(1, 8)
            for begin, end in (("07:00", "12:30"), ("13:00", "19:00"))
        ),
        breaks=(Break(from_="10:00", to="10:15"), Break(weekday=3, from_="16:00", to="17:00")),
        holidays=Holidays(country="DE", region="BE"),
        buffer_minutes=5,
        notice_minutes=60,
        max_days_ahead=60,
    )
    await connection.execute(
        "UPDATE providers SET capacity = $1, availability_version = 1, "
        "availability = jsonb_set($2::jsonb, '{notice_minutes}', to_jsonb(60 + abs(hashtext(provider_id)) % 60))",
        SEATS,
        msgspec.json.encode(rules).decode(),
    )
    await connection.execute(
        """
        UPDATE service_types
        SET buffer_minutes = 5,
            consumes = CASE service_type WHEN 'vaccination' THEN '[{"product": "vaccine"}]'::jsonb ELSE '[]' END
        """
    )
    await connection.execute(
        "INSERT INTO stock_lots (clinic_id, product, pool, lot, expires_on, on_hand) "
        "SELECT clinic_id, 'vaccine', 'general', 'lot-' || n, current_date + 30 * n, 500 "
        "FROM clinics CROSS JOIN generate_series(1, 3) AS n"
    )
    await connection.execute("UPDATE clinic_counters SET rules_version = rules_version + 1")


_DRAINED = """
SELECT
    (
        SELECT count(*) FILTER (WHERE status = 'pending')
        FROM (SELECT status FROM appointments ORDER BY coalesce(held_at, decided_at) OFFSET $1) AS these
    ) AS held,
    count(*) AS later,
    EXTRACT(EPOCH FROM max(at) - min(at))::float AS seconds,
    (SELECT coalesce(sum(doses), 0) FROM dose_claims) AS doses
FROM (SELECT coalesce(held_at, decided_at) AS at FROM appointments ORDER BY 1 OFFSET $2) AS last
"""
