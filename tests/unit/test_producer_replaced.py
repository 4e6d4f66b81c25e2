"""A producer that came to its end is replaced, whatever is in the way of the first tries."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError

from tests.support.world import settings_for
from waiting_room import kafka
from waiting_room.kafka import Producer


class Ended:
    """Takes nothing any more."""

    async def send(self, *_: object, **__: object) -> None:
        raise KafkaError

    async def stop(self) -> None:
        pass


async def test_no_fault_of_starting_anew_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a certificate that was being replaced at that moment nobody heard, and there was no producer ever after."""
    producer = Producer(settings_for(None, None))
    ended: Any = Ended()
    producer._producer = ended
    faults = iter([FileNotFoundError(), KafkaConnectionError()])

    async def start() -> None:
        if (fault := next(faults, None)) is not None:
            raise fault
        producer._producer = ended

    monkeypatch.setattr(producer, "start", start)
    monkeypatch.setattr(kafka, "AGAIN_SECONDS", 0)
    with pytest.raises(KafkaError):
        await producer.send("topic", 0, None, b"")
    assert producer._replacing is not None
    await producer._replacing
    assert producer.started
