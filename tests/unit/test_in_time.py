"""Who answers in time is heard, though we were busy when the time was over."""

from __future__ import annotations

import asyncio
import time

import pytest

from waiting_room.in_time import in_time


async def _answer(after_turns: int) -> str:
    for _ in range(after_turns):
        await asyncio.sleep(0)
    return "here"


async def test_what_is_there_in_time_is_returned_and_what_it_raises_is_raised() -> None:
    async def fail() -> None:
        raise LookupError

    assert await in_time(60.0, _answer(0)) == "here"
    with pytest.raises(LookupError):
        await in_time(60.0, fail())


async def test_who_does_not_answer_is_given_up() -> None:
    cancelled = asyncio.Event()

    async def silent() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        await in_time(0.001, silent())
    await asyncio.wait_for(cancelled.wait(), 60)


async def test_the_time_in_which_we_looked_at_nothing_does_not_count() -> None:
    async def busy() -> None:
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            pass

    answering = asyncio.create_task(in_time(0.02, _answer(3)))
    await asyncio.gather(busy(), answering)
    assert answering.result() == "here"


async def test_whoever_stops_waiting_stops_the_work() -> None:
    stopped = asyncio.Event()

    async def silent() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    waiting = asyncio.create_task(in_time(60.0, silent()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(stopped.wait(), 60)
