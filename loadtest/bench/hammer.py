"""Fifty clients at twenty hot providers: bookings, cancels, moves, closures, recounts and expiries; hold is killed
again and again meanwhile. Whether any promise about seats and stock broke.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import msgspec

from devstack.demo.watch import look
from devstack.stack import RUN, Stack
from devstack.world import VACCINE, Shape
from loadtest.bench.report import Result
from waiting_room.store import stock

CLIENTS, CLINICS, PROVIDERS = 50, 10, 2
SECONDS = 120
PATIENTS = 200
DOSES = 40
DAYS = 2
KILL_EVERY_SECONDS = 6.0
SETTLE_SECONDS = 120.0
ENV = {
    "WAITING_ROOM_CLINIC_CALL_SECONDS": "2",
    "WAITING_ROOM_CLINIC_LEASE_SECONDS": "4",
    "WAITING_ROOM_KAFKA_SESSION_TIMEOUT_MS": "6000",
    "WAITING_ROOM_SWEEP_RING_AFTER_SECONDS": "5",
    "WAITING_ROOM_HOLD_DEADLINE_SECONDS": "8",
    "WAITING_ROOM_HOLD_DEADLINE_IN_OUTAGE_SECONDS": "12",
    "WAITING_ROOM_RATE_PATIENT_PER_MINUTE": "1000000",
}
"""Short leases and holds, so that what takes hours elsewhere happens here."""
ACTS = ("book", "cancel", "move", "recount", "cancel by the clinic", "close")
WEIGHTS = (600, 200, 120, 30, 50, 3)
"""Of a closure little comes back: its time stays blocked."""


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
        wait_ceiling_seconds=3_600,
        seed=seed,
    )
    stack = Stack(shape, RUN / "bench-hammer", extra_env=ENV)
    crowd = Crowd(stack, seed)
    try:
        await stack.start()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            crowd.session = session
            await crowd.stock_up()
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
        promise="no double booking, no oversold dose, an audit that finds nothing",
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
            **{f"sent: {name}": count for name, count in sorted(crowd.sent.items())},
            **rows,
        },
    )


@dataclass
class Crowd:
    """Clients that wait for an answer before they go on; what they book is anybody's to cancel or move."""

    stack: Stack
    seed: int
    sent: Counter[str] = field(default_factory=Counter)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    session: aiohttp.ClientSession = field(init=False)
    _refs: list[str] = field(default_factory=list)

    async def stock_up(self) -> None:
        for clinic in self.stack.world.clinics:
            assert await self._count(clinic["id"], DOSES) == 200

    async def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        try:
            await asyncio.gather(*(self._client(random.Random(f"{self.seed} {n}"), until) for n in range(CLIENTS)))
        finally:
            self.done.set()

    async def _client(self, chance: random.Random, until: float) -> None:
        while time.monotonic() < until:
            act = chance.choices(ACTS, WEIGHTS)[0]
            clinic = chance.choice(self.stack.world.clinics)
            if act == "book":
                status = await self._book(chance, clinic)
            elif act == "recount":
                status = await self._count(clinic["id"], chance.randint(DOSES // 2, DOSES))
            elif act == "close":
                status = await self._close(chance, clinic)
            elif self._refs:
                status = await self._change(act, chance)
            else:
                continue
            self.sent[f"{act}: {status}"] += 1
            await asyncio.sleep(chance.uniform(0, 0.2))

    async def _book(self, chance: random.Random, clinic: dict[str, Any]) -> int:
        day = _tomorrow() + timedelta(days=chance.randrange(DAYS))
        start_at = day + timedelta(hours=7, minutes=15 * chance.randrange(44))
        exact = chance.random() < 0.5
        key = str(uuid.uuid4())
        body = {
            "provider_id": chance.choice(clinic["provider_ids"]),
            "service_type": chance.choice(("consultation", "vaccination", "vaccination")),
            "patient": {"id": f"patient-{chance.randrange(PATIENTS)}"},
            **(
                {"start_at": start_at.isoformat()}
                if exact
                else {"range": {"from": start_at.isoformat(), "to": (day + timedelta(hours=23)).isoformat()}}
            ),
        }
        status, told = await self._call("POST", "/v1/appointments", key=key, json=body)
        self.ledger.append(
            {
                "idempotency_key": key,
                "clinic_id": clinic["id"],
                "status": status,
                "booking_ref": told.get("booking_ref"),
                "outcome": told.get("outcome"),
            }
        )
        if status == 202:
            self._refs.append(told["booking_ref"])
        return status

    async def _change(self, act: str, chance: random.Random) -> int:
        ref = chance.choice(self._refs)
        key = str(uuid.uuid4())
        if act == "move":
            day = _tomorrow() + timedelta(days=chance.randrange(DAYS))
            wish = {"range": {"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()}}
            return (await self._call("PATCH", f"/v1/appointments/{ref}/reschedule", key=key, json=wish))[0]
        token = self.stack.description["clinic_keys"][ref[:4]] if act == "cancel by the clinic" else None
        return (await self._call("DELETE", f"/v1/appointments/{ref}", key=key, token=token))[0]

    async def _close(self, chance: random.Random, clinic: dict[str, Any]) -> int:
        """A provider for an hour: who is booked then goes elsewhere, or is told that it is off."""
        from_at = _tomorrow() + timedelta(days=chance.randrange(DAYS), hours=7 + chance.randrange(11))
        body = {
            "from": from_at.isoformat(),
            "to": (from_at + timedelta(hours=1)).isoformat(),
            "provider_ids": [chance.choice(clinic["provider_ids"])],
        }
        token = self.stack.description["clinic_keys"][clinic["id"]]
        address = f"/v1/clinics/{clinic['id']}/closures"
        return (await self._call("POST", address, key=str(uuid.uuid4()), token=token, json=body))[0]

    async def _count(self, clinic_id: str, doses: int) -> int:
        """What is in the fridge as somebody sees it: which is why bookings go short."""
        address = f"/v1/clinics/{clinic_id}/stock/{VACCINE}"
        token = self.stack.description["clinic_keys"][clinic_id]
        expires = [(_tomorrow() + timedelta(days=days)).date().isoformat() for days in (0, 300)]
        body = {"lots": [{"lot": day, "expires_on": day, "on_hand": doses // 2} for day in expires]}
        return (await self._call("PUT", address, token=token, json=body, headers={"If-Match": "*"}))[0]

    async def _call(
        self, method: str, path: str, *, key: str = "", token: str | None = None, **more: Any
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token or self.stack.description['app_key']}", **more.pop("headers", {})}
        if key:
            headers["Idempotency-Key"] = key
        url = self.stack.description["ingress_url"] + path
        async with self.session.request(method, url, headers=headers, **more) as answer:
            told: dict[str, Any] = await answer.json(content_type=None)
            return answer.status, told


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
    """Seconds until nothing waits any more; None when that takes too long."""
    began = time.monotonic()
    connection = await asyncpg.connect(stack.description["postgres"])
    try:
        while time.monotonic() - began < SETTLE_SECONDS:
            if (await look(connection)).settled(acknowledged) and not await connection.fetchval(_MOVING):
                return time.monotonic() - began
            await asyncio.sleep(0.5)
        return None
    finally:
        await connection.close()


_MOVING = "SELECT count(*) FROM appointments WHERE moving_to IS NOT NULL"


async def _rows(stack: Stack) -> dict[str, Any]:
    connection = await asyncpg.connect(stack.description["postgres"])
    try:
        lots, short = await stock.report(connection), await stock.short(connection)
        found = await connection.fetch(
            "SELECT status, coalesce(reason, '') AS reason, count(*) AS n FROM appointments GROUP BY 1, 2 ORDER BY 1, 2"
        )
        moved = await connection.fetch("SELECT outcome, count(*) AS n FROM reschedules GROUP BY 1 ORDER BY 1")
        return {
            "unbalanced lots": sum(not each.balanced for each in lots),
            "doses reserved": sum(each.reserved for each in lots),
            "movements in the ledger": await connection.fetchval("SELECT count(*) FROM stock_movements"),
            "bookings short of a dose": len(short),
            **{f"became: {row['status']} {row['reason']}".rstrip(): row["n"] for row in found},
            **{f"moves: {row['outcome']}": row["n"] for row in moved},
        }
    finally:
        await connection.close()


def _tomorrow() -> datetime:
    now = datetime.now(UTC)
    return datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
