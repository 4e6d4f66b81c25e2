"""Idempotency keys in memory: one try at a time, one answer, and no key that is stuck."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from ingress import problems
from ingress.refusal import Refused
from ingress.remembered import Accepted, Remembered
from waiting_room.domain.booking_ref import RefSecrets

REFS = RefSecrets(b"a secret for these tests only!!!")
REF = REFS.derive("0001", "app", "key")
ACCEPTED = Accepted(REF, datetime(2026, 3, 2, tzinfo=UTC), 1, None)


class Runs:
    """Counts how often something is really tried."""

    def __init__(self, *outcomes: Accepted | Refused) -> None:
        self.count = 0
        self._outcomes = outcomes

    async def __call__(self) -> Accepted:
        outcome = self._outcomes[min(self.count, len(self._outcomes) - 1)]
        self.count += 1
        await asyncio.sleep(0)
        if isinstance(outcome, Refused):
            raise outcome
        return outcome


def refusal(outcome: str) -> Refused:
    return Refused(problems.OUTCOME_UNKNOWN, "because", more={"outcome": outcome})


async def test_the_same_request_is_tried_once() -> None:
    memory, runs = Remembered(10), Runs(ACCEPTED)
    told = await asyncio.gather(*(memory.once(REF, b"body", runs) for _ in range(5)))
    assert told == [ACCEPTED] * 5
    assert await memory.once(REF, b"body", runs) is ACCEPTED
    assert runs.count == 1


async def test_another_request_under_the_key_is_refused_while_and_after_the_first() -> None:
    memory, runs = Remembered(10), Runs(ACCEPTED)
    first = asyncio.create_task(memory.once(REF, b"body", runs))
    await asyncio.sleep(0)
    elsewhere = REFS.derive("0002", "app", "key")
    for ref in (REF, elsewhere):
        with pytest.raises(Refused) as caught:
            await memory.once(ref, b"other", runs)
        assert caught.value.kind is problems.KEY_REUSED
    await first
    with pytest.raises(Refused):
        await memory.once(REF, b"other", runs)
    assert runs.count == 1


async def test_everybody_shares_a_refusal_and_what_came_to_nothing_is_forgotten() -> None:
    memory, runs = Remembered(10), Runs(refusal("none"), ACCEPTED)
    told = await asyncio.gather(*(memory.once(REF, b"body", runs) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(each, Refused) for each in told)
    assert runs.count == 1
    assert await memory.once(REF, b"another body", runs) is ACCEPTED


async def test_after_an_unknown_outcome_only_the_same_request_is_tried_again() -> None:
    memory, runs = Remembered(10), Runs(refusal("unknown"), ACCEPTED)
    with pytest.raises(Refused):
        await memory.once(REF, b"body", runs)
    with pytest.raises(Refused) as caught:
        await memory.once(REF, b"other", runs)
    assert caught.value.kind is problems.KEY_REUSED
    assert await memory.once(REF, b"body", runs) is ACCEPTED


async def test_an_unknown_outcome_is_remembered_although_the_next_try_came_to_nothing() -> None:
    """As in an outage of Kafka: the first is not acknowledged, the next is not handed over."""
    memory, runs = Remembered(10), Runs(refusal("unknown"), refusal("none"), ACCEPTED)
    for _ in range(2):
        with pytest.raises(Refused):
            await memory.once(REF, b"body", runs)
    with pytest.raises(Refused) as caught:
        await memory.once(REF, b"other", runs)
    assert caught.value.kind is problems.KEY_REUSED
    assert await memory.once(REF, b"body", runs) is ACCEPTED


async def test_a_try_knows_whether_it_may_be_the_second() -> None:
    memory, seen = Remembered(10), list[bool]()

    async def run() -> Accepted:
        seen.append(memory.is_second(REF))
        if len(seen) < 3:
            raise refusal("none" if len(seen) == 1 else "unknown")
        return ACCEPTED

    for _ in range(2):
        with pytest.raises(Refused):
            await memory.once(REF, b"body", run)
    assert await memory.once(REF, b"body", run) is ACCEPTED
    assert seen == [False, False, True]  # what came to nothing is forgotten, what may not have is not


async def test_a_try_that_is_cut_off_is_taken_over() -> None:
    memory, runs = Remembered(10), Runs(ACCEPTED)

    async def hang() -> Accepted:
        await asyncio.sleep(60)
        return ACCEPTED

    first = asyncio.create_task(memory.once(REF, b"body", hang))
    await asyncio.sleep(0)
    second = asyncio.create_task(memory.once(REF, b"body", runs))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is ACCEPTED
    assert runs.count == 1


async def test_only_the_keys_used_last_are_kept() -> None:
    memory, runs = Remembered(2), Runs(ACCEPTED)
    refs = [REFS.derive("0001", "app", f"key {number}") for number in range(3)]
    for ref in refs:
        await memory.once(ref, b"body", runs)
    await memory.once(refs[2], b"body", runs)
    assert runs.count == 3
    await memory.once(refs[0], b"body", runs)
    assert runs.count == 4
    assert await Remembered(0).once(REF, b"body", runs) is ACCEPTED


async def test_only_an_accepted_booking_itself_is_known_by_its_ref() -> None:
    memory = Remembered(10)
    await memory.once(REF, b"body", Runs(ACCEPTED))
    assert memory.accepted(REF) is ACCEPTED
    assert memory.accepted(REFS.derive("0002", "app", "key")) is None
    assert memory.accepted(REFS.derive("0001", "app", "other")) is None
