"""The demo's patients: they all post in the first seconds, some twice, some for one seat, a few think better of it."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from loadtest.arrivals import Poisson, offsets
from loadtest.bookings import Stack, bookings, mix_from
from loadtest.measure import LedgerRow, SendResult
from loadtest.send import send

RUSH_SECONDS = 8.0
CONTESTED_SHARE, REPEAT_SHARE, CANCEL_SHARE = 0.15, 0.05, 0.03


@dataclass
class Callers:
    """Posts ``count`` bookings open-loop and remembers every answer: the clients' own ledger."""

    description: dict[str, Any]
    count: int
    seed: int
    ledger: list[LedgerRow] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)

    async def run(self) -> SendResult:
        """Returns when every request has been answered or given up."""
        stack = msgspec.convert({"clinics": self.description["clinics"]}, Stack)
        mix = mix_from(datetime.now(UTC), CONTESTED_SHARE, REPEAT_SHARE)
        requests = bookings(stack, self.description["app_key"], mix, self.seed, reachable=True)
        arrivals = Poisson(self.count / RUSH_SECONDS * 1.2, RUSH_SECONDS * 2)
        due = list(islice(offsets(arrivals, self.seed), self.count))
        return await send(self.description["ingress_url"], due, requests, on_row=self.ledger.append)

    @property
    def acknowledged(self) -> set[str]:
        """The refs that patients hold an answer for."""
        return {row.booking_ref for row in self.ledger if row.booking_ref and row.status in (201, 202, 409)}

    async def cancel_some(self) -> None:
        """A few patients cancel, at whatever moment their booking is in; each waits for its answer."""
        chance = random.Random(self.seed)
        refs = sorted(self.acknowledged)
        async with aiohttp.ClientSession(self.description["ingress_url"]) as session:
            for ref in chance.sample(refs, int(len(refs) * CANCEL_SHARE)):
                headers = {
                    "Authorization": f"Bearer {self.description['app_key']}",
                    "Idempotency-Key": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                }
                async with session.delete(f"/v1/appointments/{ref}", headers=headers) as answer:
                    if answer.status == 202:
                        self.cancelled.add(ref)
                await asyncio.sleep(0.1)

    def write_ledger(self, path: Path) -> None:
        """One JSON line an answer, for the audit."""
        path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in self.ledger))
