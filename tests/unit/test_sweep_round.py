"""Where there is very much to do of one kind, a round of sweep does some of it: it has more to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from tests.support.world import settings_for
from waiting_room.kafka import Producer
from waiting_room.store import due
from waiting_room.store.pool import Pool
from workers.sweep import forget, seen, sweep
from workers.sweep.archive import Archiving
from workers.sweep.close_again import ClosingAgain
from workers.sweep.seen import Seen
from workers.sweep.sweep import Sweep
from workers.sweep.waitlist import LOOKS_A_ROUND, Looking


async def test_a_round_looks_at_so_many_clinics_and_at_each_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    async def look_at(clinic_id: str) -> None:
        looked.append(clinic_id)

    looking = Looking(cast(Pool, None))
    looking._next_at = {f"{number:04}": 0.0 for number in range(LOOKS_A_ROUND * 2 + 1)}
    looking._count_at = float("inf")
    monkeypatch.setattr(looking, "_look_at", look_at)
    await looking.look()
    assert len(looked) == LOOKS_A_ROUND
    for _ in range(3):
        await looking.look()
    assert sorted(looked) == sorted(looking._next_at), "each once until it is due again"


async def test_a_round_forgets_some_patients_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where very many are to be forgotten at once, no hold ran out until they were."""
    times = Counter[str]()

    async def forgets(*_: object) -> int:
        times["forgot"] += 1
        assert times["forgot"] < 100
        return forget.BATCH_MAX

    async def nothing(*_: object) -> int:
        return 0

    for name in ("extend", "expire", "miss", "lapse", "end_waits", "fill", "rebook", "ring"):
        monkeypatch.setattr(sweep, name, nothing)
    for each in (Looking, ClosingAgain, Seen, Archiving):
        monkeypatch.setattr(each, "look", nothing)
    monkeypatch.setattr(sweep, "forget", forgets)
    await Sweep(settings_for(None, None), cast(Pool, None), cast(Producer, None)).round()
    assert times["forgot"] == 1


async def test_where_very_many_visits_are_over_each_round_takes_some(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [seen.BATCH_MAX, 3, 5]

    class AnyPool:
        @asynccontextmanager
        async def acquire(self) -> AsyncIterator[None]:
            yield

    async def over(*_: object) -> list[tuple[str, str]]:
        return [("0001", f"{number}") for number in range(left.pop(0))]

    async def by_clinic(keys: Sequence[tuple[str, str]], _: object) -> int:
        return len(keys)

    monkeypatch.setattr(due, "over", over)
    monkeypatch.setattr(seen, "by_clinic", by_clinic)
    looks = Seen(cast(Pool, AnyPool()), 12)
    assert [await looks.look() for _ in range(3)] == [seen.BATCH_MAX, 3, 0]
