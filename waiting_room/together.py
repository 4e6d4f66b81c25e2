"""Questions that come while an answer is awaited, asked together next: under load one round trip serves many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """``ask_all`` answers questions in their order. It is called once at a time, and never with a question that came
    after the call: what it finds out, it finds out later than it was asked.
    """

    def __init__(self, name: str, ask_all: Callable[[Sequence[Q]], Awaitable[Sequence[A]]]) -> None:
        self._name = name
        self._ask_all = ask_all
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """Raises what ``ask_all`` raises. Whoever stops waiting does not stop the others."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_on(), name=self._name)
        return await answer

    async def _ask_on(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                try:
                    found = await self._ask_all([question for question, _ in asked])
                except Exception as error:
                    for _, answer in asked:
                        if not answer.done():
                            answer.set_exception(error)
                else:
                    for (_, answer), each in zip(asked, found, strict=True):
                        if not answer.done():
                            answer.set_result(each)
        finally:
            self._asking = None
            for _, answer in self._waiting:  # only where it was cancelled
                answer.cancel()
