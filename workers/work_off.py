"""What a worker does when storing a batch fails: wait out what passes, split what contends, bisect what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

import structlog

from waiting_room.store.faults import is_contention, passes

log = structlog.get_logger(__name__)
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0
I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Refused(Generic[I]):
    """An item that cannot be stored however often it is tried."""

    item: I
    reason: str


async def work_off(
    transact: Callable[[Sequence[I]], Awaitable[R]], items: Sequence[I], clinic_of: Callable[[I], str]
) -> tuple[list[R], list[Refused[I]]]:
    """Store ``items`` in order, whatever it takes: returns when each is stored or known to be impossible.

    - PostgreSQL away, shutting down, out of connections: wait, try the same again; it spends nothing.
    - A row locked for too long: try each clinic by itself, so that one does not hold up the others.
    - Anything else is taken to be deterministic: halve until the one that fails is alone.
    """
    outcomes: list[R] = []
    refused: list[Refused[I]] = []
    todo = [list(items)]
    pause = FIRST_PAUSE_SECONDS
    while todo:
        part = todo.pop()
        try:
            outcomes.append(await transact(part))
            pause = FIRST_PAUSE_SECONDS
        except Exception as error:
            clinics = _by_clinic(part, clinic_of)
            if is_contention(error) and len(clinics) > 1:
                todo.extend(reversed(clinics))
            elif is_contention(error) and todo:
                _put_last(todo, part, clinic_of)
            elif passes(error):
                log.warning("batch_waits", error=type(error).__name__, size=len(part))
                todo.append(part)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            elif len(part) > 1:
                middle = len(part) // 2
                todo.extend((part[middle:], part[:middle]))
            else:
                refused.append(Refused(part[0], f"{type(error).__name__}: {_first_line(error)}"))
    return outcomes, refused


def _put_last(todo: list[list[I]], part: list[I], clinic_of: Callable[[I], str]) -> None:
    """Let the other clinics go first; what else there is of this one stays behind it, in order."""
    clinic_id = clinic_of(part[0])
    for other in reversed(todo):
        part.extend(item for item in other if clinic_of(item) == clinic_id)
    todo[:] = [part, *(rest for other in todo if (rest := [item for item in other if clinic_of(item) != clinic_id]))]


def _by_clinic(items: Sequence[I], clinic_of: Callable[[I], str]) -> list[list[I]]:
    """One part a clinic, each in its order."""
    return [list(group) for _, group in groupby(sorted(items, key=clinic_of), key=clinic_of)]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
