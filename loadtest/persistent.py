"""Patients who do not give up: each repeats its request, with its key, until it has an answer that is one."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from loadtest.bookings import Stack, bookings, mix_from
from loadtest.send import Request

CONTESTED_SHARE, CANCEL_SHARE = 0.2, 0.1
FINAL = frozenset({201, 202, 409, 422})
PATIENCE = 120
"""Tries before a caller gives up: more than any outage here lasts."""


@dataclass
class PersistentCallers:
    """Posts at ``rate`` a second until stopped; some cancel what they booked, at once or a little later."""

    description: dict[str, Any]
    rate: float
    seed: int
    ledger: list[dict[str, Any]] = field(default_factory=list)
    gave_up: int = 0
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Returns when stopped and every caller has an answer."""
        stack = msgspec.convert({"clinics": self.description["clinics"]}, Stack)
        requests = bookings(
            stack, self.description["app_key"], mix_from(datetime.now(UTC), CONTESTED_SHARE), self.seed, reachable=True
        )
        chance = random.Random(self.seed)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        limit = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=limit) as session, asyncio.TaskGroup() as group:
            for number in count():
                await asyncio.sleep(max(0.0, begun + number / self.rate - loop.time()))
                if self._stopped.is_set():
                    return
                cancels = chance.random() < CANCEL_SHARE
                pause = chance.choice((0.0, 0.1, 0.5, 2.0)) if cancels else None
                group.create_task(self._caller(session, next(requests), pause, f"{self.seed}-{number}"))

    def stop(self) -> None:
        self._stopped.set()

    @property
    def acknowledged(self) -> set[str]:
        """The refs somebody holds an answer for."""
        return {row["booking_ref"] for row in self.ledger if row["booking_ref"] and row["status"] in (201, 202, 409)}

    def write_ledger(self, path: Path) -> None:
        """One JSON line an answer, for the audit."""
        path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in self.ledger))

    async def _caller(
        self, session: aiohttp.ClientSession, request: Request, cancel_after: float | None, name: str
    ) -> None:
        told = await self._until_answered(session, request)
        ref = told.get("booking_ref")
        if ref is None or cancel_after is None:
            return
        await asyncio.sleep(cancel_after)
        headers = {"Authorization": request.headers["Authorization"], "Idempotency-Key": f"cancel-{name}"}
        await self._until_answered(session, Request("DELETE", f"{request.path}/{ref}", headers, b"", f"cancel-{name}"))

    async def _until_answered(self, session: aiohttp.ClientSession, request: Request) -> dict[str, Any]:
        for _ in range(PATIENCE):
            status, told = await self._once(session, request)
            if request.method == "POST":
                self.ledger.append(
                    {
                        "idempotency_key": request.idempotency_key,
                        "clinic_id": request.clinic_id,
                        "status": status,
                        "booking_ref": told.get("booking_ref"),
                        "outcome": told.get("outcome"),
                    }
                )
            if status in FINAL:
                return told
            await asyncio.sleep(0.5)
        self.gave_up += 1
        return {}

    async def _once(self, session: aiohttp.ClientSession, request: Request) -> tuple[int | None, dict[str, Any]]:
        url = self.description["ingress_url"] + request.path
        try:
            async with session.request(request.method, url, data=request.body, headers=request.headers) as answer:
                told: dict[str, Any] = await answer.json(content_type=None)
                return answer.status, told
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
            return None, {}
