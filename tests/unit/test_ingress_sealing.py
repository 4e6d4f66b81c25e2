"""The key that ingress seals with: in Kafka before it is used, renewed every day, and not used for much longer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaError

from ingress import sealing
from ingress.sealing import Sealing
from waiting_room.envelope import Envelope, master_key
from waiting_room.intake_keys import FRESH, USABLE, IntakeKeys
from waiting_room.topics import INTAKE_KEYS

ENVELOPE = Envelope(master_key("m" * 32))


@dataclass
class Log:
    """What would be told to Kafka, and whether it takes it."""

    failing: bool = False
    away: bool = False
    keys: IntakeKeys = field(default_factory=lambda: IntakeKeys(ENVELOPE))

    async def tell(self, topic: str, key: str, value: bytes) -> None:
        assert topic == INTAKE_KEYS
        if self.away:
            raise KafkaError
        self.keys.apply(key, value)


@dataclass
class Ingress:
    log: Log = field(default_factory=Log)
    now: float = 1_000_000.0

    def __post_init__(self) -> None:
        self.sealing = Sealing(ENVELOPE, cast(Any, self.log))

    async def after(self, seconds: float) -> str | None:
        """The name of the key in use, so much later."""
        self.now += seconds
        await self.sealing.look()
        key = self.sealing.key
        return None if key is None else key.key_id


@pytest.fixture
def ingress(monkeypatch: pytest.MonkeyPatch) -> Ingress:
    ours = Ingress()
    monkeypatch.setattr(sealing, "boot_seconds", lambda: ours.now)
    return ours


async def test_nothing_is_sealed_with_a_key_that_is_not_in_kafka(ingress: Ingress) -> None:
    ingress.log.failing = True
    assert await ingress.after(1) is None
    ingress.log.failing, ingress.log.away = False, True
    assert await ingress.after(1) is None
    ingress.log.away = False
    assert await ingress.after(1) is not None
    key = ingress.sealing.key
    assert key is not None
    known = ingress.log.keys.key(key.key_id, datetime.now(UTC))
    assert known is not None
    assert known.open(key.seal(b"{}", "ref"), "ref") == b"{}"


async def test_a_day_later_there_is_a_new_one(ingress: Ingress) -> None:
    first = await ingress.after(0)
    assert await ingress.after(FRESH.total_seconds()) == first
    assert await ingress.after(1) not in (first, None)


async def test_an_old_one_serves_another_day_where_none_can_be_made(ingress: Ingress) -> None:
    first = await ingress.after(0)
    ingress.log.away = True
    assert await ingress.after(USABLE.total_seconds()) == first
    assert await ingress.after(1) is None
    ingress.log.away = False
    assert await ingress.after(1) not in (first, None)
