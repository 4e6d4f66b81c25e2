"""The clients of ``B=hammer``: patients who book, wait, answer, cancel and move; desks that count, close and see them.

What one of them books is anybody's to cancel or to move, so that callers meet at the same booking.
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

from devstack.stack import Stack
from devstack.world import VACCINE

CLIENTS = 50
PATIENTS, WAITERS = 200, 2_000
DOSES = 40
DAYS = 2
ACTS = (
    *("book", "wait", "cancel", "leave the waitlist", "move", "answer an offer"),
    *("recount", "waste", "cancel by the clinic", "see a patient", "close", "phone"),
)
WEIGHTS = (500, 140, 170, 60, 110, 120, 30, 15, 50, 90, 3, 40)
"""Of a closure little comes back: its time stays blocked."""
LOOK_EVERY_SECONDS = 0.5
RUN_OUT_EVERY_SECONDS = 2.0


@dataclass
class Crowd:
    """Clients that wait for an answer before they go on."""

    stack: Stack
    seed: int
    sent: Counter[str] = field(default_factory=Counter)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    session: aiohttp.ClientSession = field(init=False)
    offers_run_out: int = 0
    _refs: list[str] = field(default_factory=list)
    _waiting: list[str] = field(default_factory=list)
    _soon: list[str] = field(default_factory=list)
    """Confirmed for the next hours, so that their patients may be seen."""
    _offers: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _cancelled_by_phone: set[str] = field(default_factory=set)
    """No clinic cancels whom it has seen, nor sees whom it has cancelled."""

    async def prepare(self) -> None:
        """Doses for every clinic, and time that is open from now on, whatever the hour."""
        from_at = _five_minutes(datetime.now(UTC))
        hours = {"kind": "extend", "from": from_at.isoformat(), "slot_minutes": 5}
        hours["to"] = (from_at + timedelta(hours=11)).isoformat()
        for clinic in self.stack.world.clinics:
            assert await self._count(clinic["id"], DOSES) == 200
            for provider_id in clinic["provider_ids"]:
                address = f"/v1/providers/{provider_id}/overrides/today"
                assert (await self._call("PUT", address, token=self._desk(clinic["id"]), json=hours))[0] == 200

    async def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        beside = [asyncio.create_task(each) for each in (self._look(), self._run_out())]
        try:
            await asyncio.gather(*(self._client(random.Random(f"{self.seed} {n}"), until) for n in range(CLIENTS)))
        finally:
            self.done.set()
            await asyncio.gather(*beside)

    async def _client(self, chance: random.Random, until: float) -> None:
        while time.monotonic() < until:
            act = chance.choices(ACTS, WEIGHTS)[0]
            status = await self._act(act, chance, chance.choice(self.stack.world.clinics))
            if status is not None:
                self.sent[f"{act}: {status}"] += 1
            await asyncio.sleep(chance.uniform(0, 0.2))

    async def _act(self, act: str, chance: random.Random, clinic: dict[str, Any]) -> int | None:
        """The answer's status; None where there is nothing to do it to yet."""
        match act:
            case "book" | "wait":
                return await self._book(chance, clinic, or_wait=act == "wait")
            case "recount":
                return await self._count(clinic["id"], chance.randint(DOSES // 2, DOSES))
            case "waste":
                return await self._waste(chance, clinic["id"])
            case "close":
                return await self._close(chance, clinic)
            case "answer an offer":
                return await self._answer(chance) if self._offers else None
            case "phone":
                return await self._phone(chance, clinic)
            case "leave the waitlist":
                return await self._leave(chance) if self._waiting else None
            case "see a patient":
                return await self._see(chance) if self._soon else None
            case _:
                return await self._change(act, chance) if self._refs else None

    async def _book(self, chance: random.Random, clinic: dict[str, Any], *, or_wait: bool) -> int:
        today = chance.random() < 0.25
        if today:
            start_at = _five_minutes(datetime.now(UTC)) + timedelta(minutes=5 * chance.randrange(24))
            to_at = start_at + timedelta(hours=2)
        else:
            day = _tomorrow() + timedelta(days=chance.randrange(DAYS))
            start_at = day + timedelta(hours=7, minutes=15 * chance.randrange(44))
            to_at = start_at + timedelta(hours=1) if or_wait else day + timedelta(hours=23)
        exact = chance.random() < 0.5
        key = str(uuid.uuid4())
        body = {
            "provider_id": chance.choice(clinic["provider_ids"]),
            "service_type": chance.choice(("consultation", "vaccination", "vaccination")),
            "patient": {
                "id": f"waiter-{chance.randrange(WAITERS)}" if or_wait else f"patient-{chance.randrange(PATIENTS)}"
            },
            **(
                {"start_at": start_at.isoformat()}
                if exact
                else {"range": {"from": start_at.isoformat(), "to": to_at.isoformat()}}
            ),
        }
        status, told = await self._call("POST", "/v1/waitlist" if or_wait else "/v1/appointments", key=key, json=body)
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
            (self._waiting if or_wait else self._refs).append(told["booking_ref"])
        return status

    async def _change(self, act: str, chance: random.Random) -> int:
        ref = chance.choice(self._refs)
        key = str(uuid.uuid4())
        if act == "move":
            day = _tomorrow() + timedelta(days=chance.randrange(DAYS))
            wish = {"range": {"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()}}
            return (await self._call("PATCH", f"/v1/appointments/{ref}/reschedule", key=key, json=wish))[0]
        token = self._desk(ref[:4]) if act == "cancel by the clinic" else None
        return (await self._call("DELETE", f"/v1/appointments/{ref}", key=key, token=token))[0]

    async def _leave(self, chance: random.Random) -> int:
        ref = self._waiting.pop(chance.randrange(len(self._waiting)))
        return (await self._call("DELETE", f"/v1/waitlist/{ref}", key=str(uuid.uuid4())))[0]

    async def _answer(self, chance: random.Random) -> int:
        """Some answers come twice, or for an offer that has ended meanwhile."""
        offer = chance.choice(self._offers)
        what = "accept" if chance.random() < 0.7 else "decline"
        return (await self._call("POST", f"/v1/offers/{offer}/{what}"))[0]

    async def _see(self, chance: random.Random) -> int:
        """A patient arrives, is seen and perhaps given another lot than was kept for them, or does not come."""
        ref = chance.choice(self._soon)
        if ref in self._cancelled_by_phone:
            return 404
        self._seen.add(ref)
        what = chance.choices(("arrival", "completion", "no-show"), (2, 4, 2))[0]
        more: dict[str, Any] = {}
        if what == "completion" and chance.random() < 0.3:
            more["json"] = {"administered": [{"product": VACCINE, "lot": chance.choice(_lots())}]}
        return (await self._call("POST", f"/v1/appointments/{ref}/{what}", token=self._desk(ref[:4]), **more))[0]

    async def _phone(self, chance: random.Random, clinic: dict[str, Any]) -> int:
        """The clinic books somebody itself, or gives that up, or cancels a booking of ours; it tells when asked."""
        name = f"tel-{chance.randrange(10)}"
        what = chance.choices(("busy", "gone", "cancel"), (3, 3, 2))[0]
        if what == "cancel":
            if not self._refs:
                return 404
            ref = chance.choice(self._refs)
            if ref in self._seen:
                return 404
            self._cancelled_by_phone.add(ref)
            return await self._told_by_phone(ref[:4], {"cancel": ref, "by": chance.choice(("patient", "clinic"))})
        if what == "gone":
            return await self._told_by_phone(clinic["id"], {"gone": name})
        from_at = _tomorrow() + timedelta(days=chance.randrange(DAYS), minutes=15 * chance.randrange(28, 72))
        busy = {"from": from_at.isoformat(), "to": (from_at + timedelta(minutes=30)).isoformat(), "busy_id": name}
        busy["provider_id"] = chance.choice(clinic["provider_ids"])
        return await self._told_by_phone(clinic["id"], {"busy": busy})

    async def _told_by_phone(self, clinic_id: str, what: dict[str, Any]) -> int:
        url = f"{self.stack.description['clinics_url']}/_sim/clinics/{clinic_id}/phone"
        async with self.session.post(url, json=what) as answer:
            return answer.status

    async def _close(self, chance: random.Random, clinic: dict[str, Any]) -> int:
        """A provider for an hour: who is booked then goes elsewhere, or is told that it is off."""
        from_at = _tomorrow() + timedelta(days=chance.randrange(DAYS), hours=7 + chance.randrange(11))
        body = {
            "from": from_at.isoformat(),
            "to": (from_at + timedelta(hours=1)).isoformat(),
            "provider_ids": [chance.choice(clinic["provider_ids"])],
        }
        address = f"/v1/clinics/{clinic['id']}/closures"
        return (await self._call("POST", address, key=str(uuid.uuid4()), token=self._desk(clinic["id"]), json=body))[0]

    async def _count(self, clinic_id: str, doses: int) -> int:
        """What is in the fridge as somebody sees it: which is why bookings go short."""
        address = f"/v1/clinics/{clinic_id}/stock/{VACCINE}"
        body = {"lots": [{"lot": day, "expires_on": day, "on_hand": doses // 2} for day in _lots()]}
        return (await self._call("PUT", address, token=self._desk(clinic_id), json=body, headers=_ANY_VERSION))[0]

    async def _waste(self, chance: random.Random, clinic_id: str) -> int:
        """A vial breaks."""
        address = f"/v1/clinics/{clinic_id}/stock/{VACCINE}/movements"
        body = {"kind": "wasted", "lot": chance.choice(_lots()), "doses": chance.randint(1, 3)}
        return (await self._call("POST", address, token=self._desk(clinic_id), json=body, headers=_ANY_VERSION))[0]

    def _desk(self, clinic_id: str) -> str:
        token: str = self.stack.description["clinic_keys"][clinic_id]
        return token

    async def _look(self) -> None:
        """What patients are told by message, and a desk sees in its list of the day."""
        connection = await asyncpg.connect(self.stack.description["postgres"])
        try:
            while not self.done.is_set():
                self._offers = [row["offer_id"] for row in await connection.fetch(_OPEN_OFFERS)]
                self._soon = [row["booking_ref"] for row in await connection.fetch(_SOON)]
                await _unless(self.done, LOOK_EVERY_SECONDS)
        finally:
            await connection.close()

    async def _run_out(self) -> None:
        """Half an hour passes for an offer here and there: it runs out as if nobody had answered."""
        connection = await asyncpg.connect(self.stack.owner_dsn)
        try:
            while not self.done.is_set():
                self.offers_run_out += int((await connection.execute(_RUN_OUT)).split()[-1])
                await _unless(self.done, RUN_OUT_EVERY_SECONDS)
        finally:
            await connection.close()

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


_ANY_VERSION = {"If-Match": "*"}
_OPEN_OFFERS = "SELECT offer_id FROM offers WHERE ended_at IS NULL ORDER BY made_at LIMIT 200"
_SOON = """
SELECT booking_ref FROM appointments
WHERE status IN ('confirmed', 'arrived') AND start_at < now() + interval '11 hours' ORDER BY start_at LIMIT 100
"""
_RUN_OUT = """
UPDATE offers SET made_at = made_at - interval '1 day', expires_at = now()
WHERE offer_id IN (
    SELECT offer_id FROM offers WHERE ended_at IS NULL AND expires_at > now() LIMIT 2 FOR UPDATE SKIP LOCKED
)
"""


async def _unless(done: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(done.wait(), seconds)
    except TimeoutError:
        return


def _lots() -> list[str]:
    """Each is called what it expires on: one tomorrow, one later."""
    return [(_tomorrow() + timedelta(days=days)).date().isoformat() for days in (0, 300)]


def _five_minutes(at: datetime) -> datetime:
    """The next full five minutes."""
    return at.replace(minute=at.minute // 5 * 5, second=0, microsecond=0) + timedelta(minutes=5)


def _tomorrow() -> datetime:
    now = datetime.now(UTC)
    return datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
