"""What hold does with what it has read beside holding it, while some of it has to wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from aiokafka import ConsumerRecord

from tests.support.commands import book, record
from tests.support.patients import WHOM
from tests.support.world import MASTER_KEY, clinics, settings_for
from waiting_room.envelope import Envelope, master_key
from waiting_room.kafka import Producer
from waiting_room.store.pool import Pool
from workers.hold import worker as of_hold
from workers.hold.opening import Opening
from workers.hold.worker import HoldWorker
from workers.pulse import PulseWriter


async def test_what_does_not_open_is_put_aside_once_however_long_its_clinic_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was put aside at each look whether it still has to wait: five times a second."""
    put_aside: list[int] = []
    waiting: list[ConsumerRecord] = []

    async def note(_: object, aside: ConsumerRecord, __: str) -> None:
        put_aside.append(aside.offset)

    async def hold(_: Sequence[Any]) -> list[ConsumerRecord]:
        return waiting

    settings, producer = settings_for(None, None), cast(Producer, None)
    opening = Opening(settings, Envelope(master_key(MASTER_KEY)))
    worker = HoldWorker(settings, cast(Pool, None), producer, PulseWriter("hold", producer), opening, WHOM)
    monkeypatch.setattr(of_hold, "put_aside", note)
    monkeypatch.setattr(worker, "_hold", hold)
    nameless = record(msgspec.structs.replace(book(clinics(1)[0], "a"), patient=None), offset=3)
    waiting.append(nameless)
    for _ in range(3):
        assert await worker.take([nameless]) == [nameless]
    assert put_aside == []
    waiting.clear()
    assert await worker.take([nameless]) == []
    assert put_aside == [3]
