"""Questions asked together: each answered for itself, and never by what was found out before it came."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from waiting_room.together import Together


class Oracle:
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.may_answer = asyncio.Semaphore(0)

    async def ask_all(self, questions: Sequence[int]) -> list[int]:
        self.asked.append(list(questions))
        await self.may_answer.acquire()
        if 13 in questions:
            raise ValueError("thirteen")
        return [each * 10 for each in questions]


async def waiting(together: Together[int, int], *questions: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(together.ask(each)) for each in questions]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_what_comes_meanwhile_is_asked_next_and_all_at_once() -> None:
    oracle = Oracle()
    together = Together("test", oracle.ask_all)
    first = await waiting(together, 1)
    more = await waiting(together, 2, 3)
    assert oracle.asked == [[1]]
    oracle.may_answer.release()
    assert await asyncio.gather(*first) == [10]
    assert not any(task.done() for task in more)
    oracle.may_answer.release()
    assert await asyncio.gather(*more) == [20, 30]
    assert oracle.asked == [[1], [2, 3]]
    again = await waiting(together, 4)
    oracle.may_answer.release()
    assert await asyncio.gather(*again) == [40]


async def test_a_fault_is_everybodys_who_asked_then_and_nobodys_after() -> None:
    oracle = Oracle()
    together = Together("test", oracle.ask_all)
    unlucky = await waiting(together, 12, 13)
    lucky = await waiting(together, 14)
    oracle.may_answer.release()
    for task in unlucky:
        with pytest.raises(ValueError, match="thirteen"):
            await task
    oracle.may_answer.release()
    assert await asyncio.gather(*lucky) == [140]


async def test_whoever_stops_waiting_stops_nobody_else() -> None:
    oracle = Oracle()
    together = Together("test", oracle.ask_all)
    gone, stays = await waiting(together, 1, 2)
    gone.cancel()
    oracle.may_answer.release()
    assert await stays == 20
