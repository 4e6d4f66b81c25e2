"""Batches: together where it can be, apart where it must be, and nobody waits for somebody else's lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import asyncpg
import pytest

from workers.confirm.batcher import BATCH_MAX, Batcher, CannotBeStored


class Store:
    """Takes items like "A1": group A. ``refuses`` gives the error to raise for a batch, if any."""

    def __init__(self, refuses: Callable[[Sequence[str]], Exception | None] = lambda _: None) -> None:
        self.batches: list[list[str]] = []
        self.refuses = refuses
        self.batcher: Batcher[str, str] = Batcher(self.store, lambda item: item[0])

    async def store(self, items: Sequence[str]) -> list[str]:
        await asyncio.sleep(0)
        if (error := self.refuses(items)) is not None:
            raise error
        self.batches.append(list(items))
        return [item.lower() for item in items]

    async def ask(self, *items: str) -> list[str | BaseException]:
        return await asyncio.gather(*map(self.batcher.submit, items), return_exceptions=True)


async def test_what_is_asked_for_together_is_stored_together_and_answered_each() -> None:
    store = Store()
    assert await store.ask("A1", "B1", "A2") == ["a1", "b1", "a2"]
    assert store.batches == [["A1", "B1", "A2"]]


async def test_a_batch_is_bounded() -> None:
    store = Store()
    await store.ask(*(f"A{number}" for number in range(BATCH_MAX + 1)))
    assert [len(batch) for batch in store.batches] == [BATCH_MAX, 1]


async def test_a_locked_group_waits_alone_also_for_what_comes_later() -> None:
    locked = True

    def refuses(items: Sequence[str]) -> Exception | None:
        return asyncpg.LockNotAvailableError() if locked and any(item.startswith("A") for item in items) else None

    store = Store(refuses)
    waiting = asyncio.create_task(store.ask("A1", "A2"))
    assert await store.ask("B1", "C1") == ["b1", "c1"]
    later = asyncio.create_task(store.ask("A3"))
    assert await store.ask("B2") == ["b2"]
    assert not waiting.done()
    locked = False
    assert await waiting == ["a1", "a2"]
    assert await later == ["a3"]
    assert store.batches[-1] == ["A1", "A2", "A3"]


async def test_a_database_that_is_away_is_waited_for_and_the_batch_stays_whole() -> None:
    failures = [ConnectionRefusedError(), asyncpg.CannotConnectNowError()]
    store = Store(lambda _: failures.pop() if failures else None)
    assert await store.ask("A1", "B1") == ["a1", "b1"]
    assert store.batches == [["A1", "B1"]]


async def test_an_item_that_can_never_be_stored_fails_alone() -> None:
    store = Store(lambda items: asyncpg.CheckViolationError("no\nsuch thing") if "A2" in items else None)
    first, second, third, other = await store.ask("A1", "A2", "A3", "B1")
    assert (first, third, other) == ("a1", "a3", "b1")
    assert isinstance(second, CannotBeStored)
    assert str(second) == "CheckViolationError: no"


async def test_when_nobody_waits_any_more_it_is_not_tried_any_more() -> None:
    tries = 0

    def refuses(items: Sequence[str]) -> Exception:
        nonlocal tries
        tries += 1
        return ConnectionRefusedError()

    store = Store(refuses)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.ask("A1"), 0.2)
    before = tries
    await asyncio.sleep(0.3)
    assert tries <= before + 1
    store.refuses = lambda _: None
    assert await store.ask("A2") == ["a2"]
