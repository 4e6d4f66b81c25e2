"""Gateways on sockets that keep what they have sent, and a worker's settings that lead to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from loadtest import httpserver
from loadtest.gateways import smtp
from loadtest.gateways.http import HttpGateways
from loadtest.gateways.ledger import Ledger, Mood, Sent
from tests.support.log import until


@dataclass(frozen=True)
class Gateways:
    """``settings`` of a worker that sends by these."""

    ledger: Ledger
    settings: dict[str, Any]

    def mood(self, channel: str, **mood: Any) -> None:
        self.ledger.moods[channel] = Mood(**mood)

    async def sent(self, count: int) -> list[Sent]:
        """What was sent, once there is so much of it."""

        async def enough() -> bool:
            return len(self.ledger.sent) >= count

        await until(enough)
        return list(self.ledger.sent)


@asynccontextmanager
async def gateways() -> AsyncIterator[Gateways]:
    """All three at work."""
    ledger = Ledger({}, seed=1)
    async with (
        smtp.listening(ledger, 0) as smtp_port,
        httpserver.listening(HttpGateways(ledger).handle, 0) as port,
    ):
        http = f"http://127.0.0.1:{port}"
        settings = {
            "notify_smtp_url": f"smtp://127.0.0.1:{smtp_port}",
            "notify_email_from": "Demo <no-reply@demo.example>",
            "notify_sms_url": f"{http}/sms",
            "notify_push_url": f"{http}/push",
            "notify_retry_seconds": "0.1,0.1",
        }
        yield Gateways(ledger, settings)
