"""What sweep does with a batch that fails: the clinic that is locked waits, the row that fails is left out alone."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import pytest

from workers.sweep.by_clinic import Key, by_clinic

KEYS: list[Key] = [("A", "1"), ("A", "2"), ("B", "1"), ("B", "2"), ("C", "1")]


class Table:
    """Takes batches without anything in ``bad``; keeps what it took."""

    def __init__(self, bad: set[Key], error: Exception) -> None:
        self._bad, self._error, self.done = bad, error, set[Key]()

    async def work(self, keys: Sequence[Key]) -> int:
        if self._bad.intersection(keys):
            raise self._error
        self.done.update(keys)
        return len(keys)


@pytest.mark.parametrize("error", [ValueError("impossible"), asyncpg.ExclusionViolationError("taken")])
async def test_a_row_that_fails_is_left_out_alone(error: Exception) -> None:
    table = Table({("B", "1")}, error)
    assert await by_clinic(KEYS, table.work) == 4
    assert table.done == set(KEYS) - {("B", "1")}


async def test_a_clinic_that_is_locked_waits_as_a_whole() -> None:
    table = Table({("B", "1")}, asyncpg.LockNotAvailableError("locked"))
    assert await by_clinic(KEYS, table.work) == 3
    assert {clinic_id for clinic_id, _ in table.done} == {"A", "C"}


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), asyncpg.CannotConnectNowError("starting"), asyncpg.InterfaceError("closed")]
)
async def test_where_postgresql_is_away_nothing_is_left_out(error: Exception) -> None:
    table = Table({("C", "1")}, error)
    with pytest.raises(type(error)):
        await by_clinic(KEYS, table.work)
