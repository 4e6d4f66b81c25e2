"""Tasks under supervision: one that dies stops all, a stop ends all, the slow are cancelled."""

from __future__ import annotations

import asyncio

import pytest

from waiting_room.supervise import TaskDied, pause, supervise


async def until_told(finish: asyncio.Event) -> None:
    await finish.wait()


async def test_a_task_that_dies_stops_the_others_and_is_named() -> None:
    ended = []

    async def worker(finish: asyncio.Event) -> None:
        await finish.wait()
        ended.append("worker")

    async def dies(finish: asyncio.Event) -> None:
        raise RuntimeError("out of luck")

    with pytest.raises(TaskDied, match="dies") as died:
        await supervise(asyncio.Event(), {"worker": worker, "dies": dies}, shutdown_seconds=5)
    assert str(died.value.__cause__) == "out of luck"
    assert ended == ["worker"]


async def test_a_task_that_ends_early_counts_as_dead() -> None:
    async def ends(finish: asyncio.Event) -> None:
        return

    with pytest.raises(TaskDied, match="ends"):
        await supervise(asyncio.Event(), {"ends": ends, "worker": until_told}, shutdown_seconds=5)


async def test_told_to_stop_all_end_in_order() -> None:
    stop = asyncio.Event()
    stop.set()
    await supervise(stop, {"one": until_told, "two": until_told}, shutdown_seconds=5)


async def test_what_fails_while_it_stops_is_reported() -> None:
    async def fails_late(finish: asyncio.Event) -> None:
        await finish.wait()
        raise RuntimeError("could not commit")

    stop = asyncio.Event()
    stop.set()
    with pytest.raises(TaskDied, match="late"):
        await supervise(stop, {"late": fails_late}, shutdown_seconds=5)


async def test_who_does_not_end_in_time_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def deaf(finish: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    stop = asyncio.Event()
    stop.set()
    await supervise(stop, {"deaf": deaf}, shutdown_seconds=0)
    assert cancelled.is_set()


async def test_a_pause_ends_with_its_time_or_when_told() -> None:
    finish = asyncio.Event()
    await pause(finish, 0.001)
    await pause(finish, -1)
    asyncio.get_running_loop().call_soon(finish.set)
    async with asyncio.timeout(60):
        await pause(finish, 1_000)
