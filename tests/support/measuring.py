"""Measurements, which a machine that is busy with something else may spoil."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

TIMES = 8


async def undisturbed(measure: Callable[[], Awaitable[None]]) -> None:
    """Measure again where an assertion fails: a pause of the machine spoils one measurement, a fault every one. Raises
    the last AssertionError.
    """
    for left in reversed(range(TIMES)):
        try:
            await measure()
        except AssertionError:
            if not left:
                raise
        else:
            return
