"""Keeps the key that patients are sealed with on their way to hold: a new one every day, in Kafka before it is used."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from ingress.handover import Handover
from ingress.map_keeper import boot_seconds
from waiting_room.envelope import Envelope
from waiting_room.intake_keys import FRESH, USABLE, SealingKey, make
from waiting_room.messages import encode
from waiting_room.supervise import pause
from waiting_room.topics import INTAKE_KEYS

log = structlog.get_logger(__name__)

_LOOK_EVERY_SECONDS: Final = 0.1
_KEY_IS_THERE_SECONDS: Final = 10.0
"""Until the next look once there is one: it is good for a day and more."""

_ACKNOWLEDGED_WITHIN_SECONDS: Final = 5.0


class Sealing:
    """``run`` makes keys; everything else asks for the current one."""

    def __init__(self, envelope: Envelope, handover: Handover) -> None:
        self._envelope = envelope
        self._handover = handover
        self._key: SealingKey | None = None
        self._made_at_seconds = 0.0

    @property
    def key(self) -> SealingKey | None:
        """None until the first one is in Kafka, and when no new one has got there for long: then nothing is sealed."""
        if boot_seconds() - self._made_at_seconds > USABLE.total_seconds():
            return None
        return self._key

    async def run(self, finish: asyncio.Event) -> None:
        """Until ``finish`` is set."""
        while not finish.is_set():
            await self.look()
            await pause(finish, _LOOK_EVERY_SECONDS if self.key is None else _KEY_IS_THERE_SECONDS)

    async def look(self) -> None:
        """Make a key if it is time to. What Kafka does not acknowledge is tried again, with another key."""
        aged_seconds = boot_seconds() - self._made_at_seconds
        if self._handover.failing or (self._key is not None and aged_seconds <= FRESH.total_seconds()):
            return
        made_at_seconds = boot_seconds()
        key, record = make(self._envelope, datetime.now(UTC))
        try:
            async with asyncio.timeout(_ACKNOWLEDGED_WITHIN_SECONDS):
                await self._handover.tell(INTAKE_KEYS, key.key_id, encode(record))
        except (KafkaError, TimeoutError) as error:
            log.info("intake_key_not_written", error=type(error).__name__)
            return
        self._key, self._made_at_seconds = key, made_at_seconds
