"""Fifty clients at twenty hot providers: bookings, cancels, moves, closures, the waitlist with its offers, recounts,
doses given and wasted, visits and expiries; hold is killed again and again meanwhile. Whether any promise about seats
and stock broke.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import aiohttp
import asyncpg
import msgspec

from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.bench.crowd import Crowd
from loadtest.bench.report import Result
from waiting_room.store import stock

CLINICS, PROVIDERS = 10, 2
SECONDS = 120
KILL_EVERY_SECONDS = 6.0
SETTLE_SECONDS = 120.0
QUIET_SECONDS = 3.0
"""At rest is what waits for nothing and has not changed for so long."""
ENV = {
    "WAITING_ROOM_CLINIC_CALL_SECONDS": "2",
    "WAITING_ROOM_CLINIC_LEASE_SECONDS": "4",
    "WAITING_ROOM_KAFKA_SESSION_TIMEOUT_MS": "6000",
    "WAITING_ROOM_SWEEP_RING_AFTER_SECONDS": "5",
    "WAITING_ROOM_HOLD_DEADLINE_SECONDS": "8",
    "WAITING_ROOM_HOLD_DEADLINE_IN_OUTAGE_SECONDS": "12",
    "WAITING_ROOM_RATE_PATIENT_PER_MINUTE": "1000000",
    "WAITING_ROOM_CLINIC_CHANGES_SECONDS": "0.5",
}
"""Short leases and holds, so that what takes hours elsewhere happens here."""


async def measure(seed: int, seconds: int = SECONDS) -> Result:
    """Offences of the audit, lots that do not balance and commands that could not be stored: all of them together."""
    began = time.monotonic()
    shape = Shape(
        clinics=CLINICS,
        providers=PROVIDERS,
        slow=3,
        down=1,
        down_for_seconds=seconds / 4,
        call_seconds=0.25,
        faulty=True,
        stocked=True,
        reports_changes=True,
        wait_ceiling_seconds=3_600,
        seed=seed,
    )
    stack = Stack(shape, RUN / "bench-hammer", extra_env=ENV)
    crowd = Crowd(stack, seed)
    try:
        await stack.start()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            crowd.session = session
            await crowd.prepare()
            killing = asyncio.create_task(_kill_hold(stack, seed, crowd.done))
            await crowd.run(seconds)
            killed = await killing
        rest = await _settled(stack, len({row["booking_ref"] for row in crowd.ledger if row["status"] == 202}))
        ledger = stack.folder / "ledger.jsonl"
        ledger.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in crowd.ledger))
        clean, audit = await stack.audit(ledger)
        print(audit)
        rows = await _rows(stack)
    finally:
        await stack.stop()
    put_aside = (stack.logs / "hold.log").read_text(errors="replace").count("command_put_aside")
    wrong = (not clean) + rows.pop("unbalanced lots") + put_aside + (rest is None)
    return Result(
        name="hammer",
        promise="no double booking, no oversold dose, nobody who waits passed over, an audit that finds nothing",
        target="0 offences",
        value=float(wrong),
        unit="offences",
        passed=wrong == 0,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={
            "seconds under the hammer": seconds,
            "hold killed": killed,
            "at rest after, s": rest,
            "audit": "clean" if clean else "NOT CLEAN",
            "commands put aside": put_aside,
            "offers that were made to run out": crowd.offers_run_out,
            **{f"sent: {name}": count for name, count in sorted(crowd.sent.items())},
            **rows,
        },
    )


async def _kill_hold(stack: Stack, seed: int, done: asyncio.Event) -> int:
    """kill -9, and start it again at once; how often."""
    chance, killed = random.Random(seed), 0
    while not done.is_set():
        try:
            await asyncio.wait_for(done.wait(), chance.uniform(0.5, 1.5) * KILL_EVERY_SECONDS)
        except TimeoutError:
            await stack.processes["hold"].kill()
            killed += 1
            stack.processes["hold"].spawn()
    return killed


async def _settled(stack: Stack, acknowledged: int) -> float | None:
    """Seconds until nothing waits for anything but a seat; None when that takes too long."""
    began = time.monotonic()
    connection = await asyncpg.connect(stack.description["postgres"])
    try:
        last_seq, changed = -1, began
        while (now := time.monotonic()) - began < SETTLE_SECONDS:
            row = await connection.fetchrow(_AT_REST)
            assert row is not None
            if row["seq"] != last_seq or row["rows"] < acknowledged or row["open"]:
                last_seq, changed = row["seq"], now
            elif now - changed >= QUIET_SECONDS:
                return changed - began
            await asyncio.sleep(0.5)
        return None
    finally:
        await connection.close()


_AT_REST = """
SELECT
    (SELECT count(*) FROM appointments) AS rows,
    (SELECT sum(last_seq) FROM clinic_counters) AS seq,
    (
        SELECT count(*) FROM appointments
        WHERE status = 'pending' OR clinic_state IN ('calling', 'unknown', 'withdrawing') OR moving_to IS NOT NULL
    )
    + (
        SELECT count(*) FROM clinic_counters AS c INNER JOIN relay_cursors AS r USING (clinic_id)
        WHERE r.published_seq < c.last_seq
    )
    + (SELECT count(*) FROM webhook_deliveries WHERE state = 'due') AS open
"""


async def _rows(stack: Stack) -> dict[str, Any]:
    connection = await asyncpg.connect(stack.description["postgres"])
    try:
        lots, short = await stock.report(connection), await stock.short(connection)
        found = await connection.fetch(
            "SELECT status, coalesce(reason, '') AS reason, count(*) AS n FROM appointments GROUP BY 1, 2 ORDER BY 1, 2"
        )
        moved = await connection.fetch("SELECT outcome, count(*) AS n FROM reschedules GROUP BY 1 ORDER BY 1")
        offered = await connection.fetch("SELECT outcome, count(*) AS n FROM offers GROUP BY 1 ORDER BY 1")
        return {
            "unbalanced lots": sum(not each.balanced for each in lots),
            "doses reserved": sum(each.reserved for each in lots),
            "doses administered": sum(each.administered for each in lots),
            "doses wasted": sum(each.wasted for each in lots),
            "movements in the ledger": await connection.fetchval("SELECT count(*) FROM stock_movements"),
            "bookings short of a dose": len(short),
            **{f"became: {row['status']} {row['reason']}".rstrip(): row["n"] for row in found},
            **{f"moves: {row['outcome']}": row["n"] for row in moved},
            **{f"offers: {row['outcome'] or 'open'}": row["n"] for row in offered},
        }
    finally:
        await connection.close()
