"""The simulated clinics' timers, on both event loops they run on: asyncio's in tests, uvloop's in benches."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import uvloop

from loadtest.clinics.timers import GRID_SECONDS, Timers
from tests.support.measuring import undisturbed

Factory = Callable[[], asyncio.AbstractEventLoop]


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_calls_are_made_no_earlier_than_asked_and_soon_after(factory: Factory) -> None:
    delays = [n / 1000 for n in range(1, 60, 3)]

    async def run() -> None:
        timers = Timers()
        done = asyncio.Event()
        overdue: list[float] = []

        def note(due: float) -> None:
            overdue.append(time.monotonic() - due)
            if len(overdue) == len(delays):
                done.set()

        time.sleep(0.02)  # uvloop's own clock stands still while a callback runs
        for delay in delays:
            timers.call_later(delay, partial(note, time.monotonic() + delay))
        await asyncio.wait_for(done.wait(), 60)
        early.append(-min(overdue))
        assert sorted(overdue)[len(overdue) // 2] < GRID_SECONDS + 0.05

    early: list[float] = []
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(undisturbed(run))
    assert max(early) < 0.002, "loops keep time to a millisecond"


async def test_one_failing_call_leaves_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    timers = Timers()
    done = asyncio.Event()

    def fail() -> Any:
        raise LookupError("lost")

    for callback in (fail, done.set):
        timers.call_later(0.0, callback)
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(done.wait(), 60)
    assert "a timed call failed" in caplog.text
