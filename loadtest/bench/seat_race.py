"""200 patients ask for one seat at the same moment: one gets it, the others know at once and are offered others."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from devstack.stack import RUN, Stack
from devstack.world import Shape
from loadtest.bench.report import Result

CALLERS = 200


async def measure(seed: int) -> Result:
    """The slowest loser's wait from its request to its 409."""
    began = time.monotonic()
    stack = Stack(Shape(clinics=1, slow=0, down=0, webhooks=False, seed=seed), RUN / "bench-seat-race")
    try:
        await stack.start()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await _race(session, stack, hour=12)  # opens the connections; the race that counts is the next
            answers = await _race(session, stack, hour=9)
    finally:
        await stack.stop()
    outcomes = Counter(answer["outcome"] for answer in answers)
    losers = [answer for answer in answers if answer["outcome"] == "slot_taken"]
    slowest = max((answer["seconds"] for answer in losers), default=float("inf"))
    offered = sum(1 for answer in losers if answer["alternatives"])
    return Result(
        name="seat-race",
        promise="200 at once for one seat: one confirmed, the others told within a second, with alternatives",
        target="1 confirmed, 199 slot_taken with alternatives, slowest < 1 s",
        value=slowest,
        unit="s",
        passed=outcomes == {"confirmed": 1, "slot_taken": CALLERS - 1} and offered == len(losers) and slowest < 1,
        seed=seed,
        duration_seconds=time.monotonic() - began,
        rows={**outcomes, "losers offered alternatives": offered},
    )


async def _race(session: aiohttp.ClientSession, stack: Stack, hour: int) -> list[dict[str, Any]]:
    clinic = stack.world.clinics[0]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    start_at = tomorrow.replace(hour=hour, minute=0, second=0, microsecond=0)
    body = {
        "provider_id": clinic["provider_ids"][0],
        "service_type": "consultation",
        "start_at": start_at.isoformat(),
    }

    async def caller(number: int) -> dict[str, Any]:
        sent = time.monotonic()
        async with session.post(
            f"{stack.description['ingress_url']}/v1/appointments",
            json={**body, "patient": {"id": f"racer-{number}"}},
            headers={
                "Authorization": f"Bearer {stack.description['app_key']}",
                "Idempotency-Key": str(uuid.uuid4()),
                "Prefer": "wait=20",
            },
        ) as answer:
            told: dict[str, Any] = await answer.json(content_type=None)
            won = answer.status == 201 and told.get("status") == "confirmed"
            return {
                "seconds": time.monotonic() - sent,
                "outcome": "confirmed" if won else told.get("reason", str(answer.status)),
                "alternatives": told.get("alternatives"),
            }

    return await asyncio.gather(*(caller(number) for number in range(CALLERS)))
