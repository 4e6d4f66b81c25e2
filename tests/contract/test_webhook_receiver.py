"""The demo webhook receiver over real sockets, fed with signatures made by the `standardwebhooks` package."""

import base64
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from standardwebhooks import Webhook

from loadtest.httpserver import listening
from loadtest.receiver import Delivery, Receiver, Secrets

EVENT = {"type": "booking.confirmed", "data": {"booking_ref": "000A-7K2M", "sequence": 7}}


def secret(word: str) -> str:
    return "whsec_" + base64.b64encode(word.encode() * 4).decode()


class Sender:
    """Signs as our own webhook step must, with code that is not ours."""

    def __init__(self, session: aiohttp.ClientSession, origin: str, secrets_path: Path) -> None:
        self.session = session
        self.origin = origin
        self.secrets_path = secrets_path
        self.secrets: dict[str, str] = {}

    def keep(self, **secrets: str) -> None:
        self.secrets |= secrets
        self.secrets_path.write_text(json.dumps(self.secrets))
        later = time.time_ns() + 10**9 * len(self.secrets)  # even where the clock of the file system is coarse
        os.utime(self.secrets_path, ns=(later, later))

    async def deliver(
        self,
        webhook_id: str = "msg_1",
        endpoint: str = "ep1",
        *,
        key: str | None = None,
        at: datetime | None = None,
        timeout: float = 5,
        tampered_body: str | bytes | None = None,
        tampered_headers: dict[str, str] | None = None,
    ) -> int:
        at = at or datetime.now(UTC)
        body = json.dumps(EVENT)
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(key or self.secrets[endpoint]).sign(webhook_id, at, body),
        }
        async with self.session.post(
            f"{self.origin}/hooks/{endpoint}",
            data=tampered_body or body,
            headers=headers | (tampered_headers or {}),
            timeout=aiohttp.ClientTimeout(timeout),
        ) as response:
            return response.status

    async def mood(self, endpoint: str = "ep1", **fields: object) -> int:
        async with self.session.patch(f"{self.origin}/_sim/endpoints/{endpoint}", json=fields) as response:
            return response.status

    async def tally(self, endpoint: str = "ep1") -> dict[str, int]:
        async with self.session.get(f"{self.origin}/_sim/stats") as response:
            tallies: dict[str, dict[str, int]] = (await response.json())["endpoints"]
            return tallies[endpoint]

    async def received(self) -> list[Delivery]:
        async with self.session.get(f"{self.origin}/_sim/received?endpoint=ep1") as response:
            return [msgspec.json.decode(line, type=Delivery) for line in (await response.read()).splitlines()]


@pytest.fixture
async def sender(tmp_path: Path) -> AsyncIterator[Sender]:
    async with connected(tmp_path / "secrets.json") as connected_sender:
        connected_sender.keep(ep1=secret("first"))
        yield connected_sender


@asynccontextmanager
async def connected(secrets_path: Path) -> AsyncIterator[Sender]:
    receiver = Receiver(Secrets(secrets_path))
    async with listening(receiver.handle, 0) as port, aiohttp.ClientSession() as session:
        yield Sender(session, f"http://127.0.0.1:{port}", secrets_path)


async def test_a_valid_delivery_is_taken_and_its_repeat_counted(sender: Sender) -> None:
    assert [await sender.deliver(id) for id in ("msg_1", "msg_2", "msg_1")] == [204, 204, 204]
    tally = await sender.tally()
    assert tally == {"verified": 3, "failed": 0, "accepted": 2, "duplicates": 1, "hung": 0}
    first = (await sender.received())[0]
    assert (first.webhook_id, first.type) == ("msg_1", "booking.confirmed")
    assert (first.booking_ref, first.sequence, first.status) == ("000A-7K2M", 7, 204)


@pytest.mark.parametrize(
    "tampered",
    [
        {"tampered_body": json.dumps(EVENT).replace("7", "8")},
        {"tampered_body": b"\xff\xfe"},
        {"tampered_headers": {"webhook-id": "msg_9"}},
        {"tampered_headers": {"webhook-timestamp": "1"}},
        {"tampered_headers": {"webhook-signature": "v1,AAAA"}},
        {"tampered_headers": {"webhook-signature": "gibberish"}},
        {"tampered_headers": {"webhook-signature": ""}},
    ],
)
async def test_a_tampered_delivery_is_refused(sender: Sender, tampered: dict[str, Any]) -> None:
    assert await sender.deliver(**tampered) == 401
    assert (await sender.tally())["failed"] == 1
    assert await sender.received() == []


async def test_an_old_delivery_is_refused(sender: Sender) -> None:
    assert await sender.deliver(at=datetime.now(UTC) - timedelta(minutes=6)) == 401


async def test_new_endpoints_and_rotated_secrets_are_read_from_the_file(sender: Sender) -> None:
    assert await sender.deliver() == 204
    assert await sender.deliver(endpoint="ep2", key=secret("second")) == 404
    sender.keep(ep2=secret("second"))
    assert await sender.deliver(endpoint="ep2") == 204
    sender.keep(ep1=secret("third"))
    assert await sender.deliver("msg_2", key=secret("first")) == 401
    assert await sender.deliver(webhook_id="msg_3") == 204


async def test_an_endpoint_can_fail_be_slow_or_stay_silent(sender: Sender) -> None:
    assert await sender.mood(status=503) == 200
    assert await sender.deliver() == 503
    assert await sender.mood(status=200, delay=0.2) == 200
    begun = time.monotonic()
    assert await sender.deliver() == 200
    assert time.monotonic() - begun >= 0.19
    await sender.mood(hang=True)
    with pytest.raises(TimeoutError):
        await sender.deliver("msg_2", timeout=0.5)
    tally = await sender.tally()
    assert tally == {"verified": 3, "failed": 0, "accepted": 1, "duplicates": 0, "hung": 1}
    assert [d.status for d in await sender.received()] == [503, 200]
    assert await sender.mood(colour="blue") == 422
