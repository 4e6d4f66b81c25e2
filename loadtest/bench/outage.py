"""Every clinic away at once for ten minutes, and back at once: what is lost, what is rejected, how the rush begins.

Twenty clinics that hide how many calls they take (1 to 8), five times faster than in life: a call takes 0.34 s, the
outage two minutes. Patients go on booking, as many as the smallest clinic can catch up with. A third of the clinics
answers 503, a third resets connections, a third hangs. Holds run out after five minutes (one, here) unless their clinic
is down.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from devstack.stack import RUN, Stack, write_stack_file
from devstack.world import Shape
from loadtest.bench.drain import Meters, read_meters
from loadtest.bench.report import Result
from loadtest.bench.sender import send
from waiting_room.topics import TOPICS

SCALE = 5
CLINICS, LOAD = 20, 0.08
"""Patients book at all clinics alike: the smallest, which takes one call, decides three times what comes."""
USUAL_CALL_SECONDS = 1.7 / SCALE
BEFORE_SECONDS, OUTAGE_SECONDS, AFTER_SECONDS = 30.0, 600.0 / SCALE, 20.0
HOLD_SECONDS = 300 // SCALE
KINDS = ("503", "refuse_connection", "hang")
ENV = {
    "WAITING_ROOM_CLINIC_CALL_SECONDS": "4",
    "WAITING_ROOM_CLINIC_LEASE_SECONDS": "6",
    "WAITING_ROOM_HOLD_DEADLINE_SECONDS": str(HOLD_SECONDS),
    "WAITING_ROOM_HOLD_DEADLINE_IN_OUTAGE_SECONDS": "3600",
}
LOOK_SECONDS = 0.2
RUSH_SECONDS = 30.0
MOST_IN_FLIGHT, MOST_OVERLOADS = 1.25, 0.05
"""Right after the outage: calls in flight over what the clinics take, at any moment; share of calls turned away."""

FOLDER = RUN / "bench-outage"


@dataclass
class Rush:
    """What the clinics' meters showed. ``probes``: calls of the outage but for those it began with."""

    probes: int = 0
    most_in_flight: float = 0.0
    calls: int = 0
    overloads: int = 0
    back_after_seconds: list[float] = field(default_factory=list)
    """From the end of the outage until the first booking of each clinic."""


async def measure(seed: int) -> Result:
    """The value is how many bookings were rejected or dead-lettered."""
    began = time.monotonic()
    shape = Shape(clinics=CLINICS, slow=0, down=0, hidden=True, time_scale=1 / SCALE, providers=12, seed=seed)
    stack = Stack(shape, FOLDER, extra_env=ENV)
    try:
        await stack.start()
        write_stack_file(stack, FOLDER / "stack.json")
        capacity = sum(clinic["capacity"] for clinic in stack.world.clinics) / USUAL_CALL_SECONDS
        sending = asyncio.create_task(_send(stack, LOAD * capacity, seed))
        async with aiohttp.ClientSession(stack.clinics_url) as session:
            rush = await _outage(stack, session)
        accepted = await sending
        connection = await asyncpg.connect(stack.owner_dsn)
        try:
            decided = await _decided(connection, accepted)
        finally:
            await connection.close()
        dead_letters = await _dead_letters(stack)
        clean, printed = await stack.audit(FOLDER / "ledger.jsonl")
    finally:
        await stack.stop()
    if not clean:
        print(printed)
    return _result(seed, time.monotonic() - began, capacity, accepted, decided, dead_letters, rush, clean=clean)


async def _send(stack: Stack, rate: float, seed: int) -> int:
    """Bookings before, during and after the outage; how many were accepted."""
    plan = {
        "url": stack.description["ingress_url"],
        "app_key": stack.description["app_key"],
        "seed": seed,
        "profile": {"type": "poisson", "rate": rate, "seconds": BEFORE_SECONDS + OUTAGE_SECONDS + AFTER_SECONDS},
    }
    _, rows = await send(FOLDER, plan)
    return len({row.booking_ref for row in rows if row.status == 202})


async def _outage(stack: Stack, session: aiohttp.ClientSession) -> Rush:
    clinics = [clinic["id"] for clinic in stack.world.clinics]
    await asyncio.sleep(BEFORE_SECONDS)
    for number, clinic_id in enumerate(clinics):
        await _patch(session, clinic_id, {"down": KINDS[number % len(KINDS)]})
    await asyncio.sleep(OUTAGE_SECONDS / 2)
    half = await read_meters(session)
    await asyncio.sleep(OUTAGE_SECONDS / 2)
    end = await read_meters(session)
    for clinic_id in clinics:
        await _patch(session, clinic_id, {"down": None})
    rush = Rush(probes=_calls(end) - _calls(half))
    waiting = set(clinics)
    total = sum(stats.capacity for stats in end.clinics.values())
    now = end
    while now.elapsed_seconds < end.elapsed_seconds + RUSH_SECONDS or waiting:
        await asyncio.sleep(LOOK_SECONDS)
        now = await read_meters(session)
        rush.most_in_flight = max(rush.most_in_flight, sum(each.in_flight for each in now.clinics.values()) / total)
        for clinic_id in sorted(waiting):
            if now.clinics[clinic_id].bookings_made > end.clinics[clinic_id].bookings_made:
                waiting.discard(clinic_id)
                rush.back_after_seconds.append(now.elapsed_seconds - end.elapsed_seconds)
    rush.calls = _calls(now) - _calls(end)
    rush.overloads = sum(
        now.clinics[each].fates.get("overloaded", 0) - end.clinics[each].fates.get("overloaded", 0) for each in clinics
    )
    return rush


def _calls(meters: Meters) -> int:
    return sum(stats.calls for stats in meters.clinics.values())


async def _patch(session: aiohttp.ClientSession, clinic_id: str, changes: dict[str, Any]) -> None:
    async with session.patch(f"/_sim/clinics/{clinic_id}", data=msgspec.json.encode(changes)) as answer:
        answer.raise_for_status()


async def _decided(connection: asyncpg.Connection[asyncpg.Record], accepted: int) -> dict[str, Any]:
    """Once nothing waits any more, or after a while."""
    give_up_at = time.monotonic() + 300
    while True:
        row = await connection.fetchrow(_DECIDED, HOLD_SECONDS)
        assert row is not None
        if row["confirmed"] + row["rejected"] >= accepted or time.monotonic() > give_up_at:
            return dict(row)
        await connection.fetchval("SELECT pg_sleep(1)")


async def _dead_letters(stack: Stack) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka_address)
    await consumer.start()
    try:
        names = [topic.name for topic in TOPICS if topic.name.endswith(".dlq")]
        partitions = [
            TopicPartition(name, each) for name in names for each in consumer.partitions_for_topic(name) or ()
        ]
        ends = await consumer.end_offsets(partitions)
    finally:
        with suppress(asyncio.CancelledError):  # its own task's, should that not have begun yet
            await consumer.stop()
    return sum(ends.values())


def _result(
    seed: int,
    duration: float,
    capacity: float,
    accepted: int,
    decided: dict[str, Any],
    dead_letters: int,
    rush: Rush,
    *,
    clean: bool,
) -> Result:
    overloads = rush.overloads / max(rush.calls, 1)
    rows: dict[str, Any] = {
        "accepted; confirmed": f"{accepted:,}; {decided['confirmed']:,}",
        "rejected": decided["rejected"],
        "holds extended beyond their usual deadline": decided["extended"],
        "dead letters": dead_letters,
        "audit": "clean" if clean else "offences, see above",
        f"calls in the outage's second half ({OUTAGE_SECONDS / 2:.0f} s), a clinic": rush.probes / CLINICS,
        f"rush: most in flight over capacity (<= {MOST_IN_FLIGHT})": rush.most_in_flight,
        f"rush: share of calls turned away (<= {MOST_OVERLOADS})": overloads,
        "rush: clinics' first booking after the outage, s": ", ".join(
            f"{seconds:.0f}" for seconds in rush.back_after_seconds
        ),
        "longest wait, s": decided["longest"],
    }
    return Result(
        name="outage",
        promise="all clinics away for ten minutes: nothing dead-lettered or rejected in time, no herd after it",
        target=f"0 of either, audit clean; in flight <= {MOST_IN_FLIGHT} of capacity, <= {MOST_OVERLOADS} turned away",
        value=decided["rejected"] + dead_letters,
        unit="bookings",
        passed=(
            decided["rejected"] == dead_letters == 0
            and decided["confirmed"] == accepted
            and clean
            and rush.most_in_flight <= MOST_IN_FLIGHT
            and overloads <= MOST_OVERLOADS
        ),
        seed=seed,
        duration_seconds=duration,
        rows=rows,
        notes=[
            f"{CLINICS} clinics that decide {capacity:.0f} bookings/s, {LOAD * capacity:.0f}/s offered; "
            f"{SCALE} times faster than in life; away by {', '.join(KINDS)}",
            f"the rush is the first {RUSH_SECONDS:.0f} s after the outage",
        ],
    )


_DECIDED = """
SELECT
    count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
    count(*) FILTER (WHERE status = 'rejected') AS rejected,
    count(*) FILTER (WHERE decided_at > accepted_at + make_interval(secs => $1)) AS extended,
    coalesce(EXTRACT(EPOCH FROM max(decided_at - accepted_at)), 0)::float AS longest
FROM appointments
"""
