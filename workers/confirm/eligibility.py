"""Asks whether a patient may have a service: from what was said lately, or the system itself, once more if it fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from clinic_adapter.eligibility import EligibilityGateway, Question
from clinic_adapter.errors import ClinicOverloaded, ClinicUnavailable
from waiting_room.domain.eligibility import Finding
from waiting_room.telemetry import metrics
from workers.confirm.eligibility_answers import Answers
from workers.pacing.checks import TRIES, Checks

for _outcome in ("hit", "miss"):
    metrics.ELIGIBILITY_CACHE.labels(_outcome)  # a share needs both from the start


class Eligibility:
    """``times_stood_still``: how often this process has; what fails while it did tells nothing of the system."""

    def __init__(
        self,
        gateway: EligibilityGateway,
        *,
        calls_max: int,
        cache_seconds: float,
        cache_max: int,
        times_stood_still: Callable[[], int],
    ) -> None:
        self._gateway = gateway
        self._room = asyncio.Semaphore(calls_max)
        self._answers = Answers(keep_seconds=cache_seconds, size_max=cache_max)
        self._times_stood_still = times_stood_still
        self.checks = Checks()

    async def find_out(self, question: Question) -> Finding:
        """Waits for room, not for the system to come back. Raises nothing but what is a bug of ours."""
        known = self._answers.get(question, time.monotonic())
        metrics.ELIGIBILITY_CACHE.labels("miss" if known is None else "hit").inc()
        if known is None:
            async with self._room:
                known = await self._ask(question)
        if known is None:
            return Finding.UNKNOWN
        return Finding.ELIGIBLE if known else Finding.NOT_ELIGIBLE

    def again_seconds(self) -> float:
        """How long a booking that nobody could tell about waits."""
        return self.checks.again_seconds(time.monotonic(), random.random())

    async def _ask(self, question: Question) -> bool | None:
        for tries_left in reversed(range(TRIES)):
            if not self.checks.may_ask(time.monotonic()):
                return None
            try:
                eligible = await self._ask_once(question)
            except ClinicOverloaded:
                return None  # more questions are not what it needs
            except ClinicUnavailable:
                if tries_left:
                    await asyncio.sleep(self.checks.retry_seconds(random.random()))
            else:
                self._answers.keep(question, eligible, time.monotonic())
                return eligible
        return None

    async def _ask_once(self, question: Question) -> bool:
        """Raises ClinicUnavailable, when the breaker knows."""
        started, standstills = time.monotonic(), self._times_stood_still()
        probe = self.checks.asked()
        try:
            eligible = await self._gateway.is_eligible(question)
        except ClinicUnavailable as error:
            if self._times_stood_still() == standstills:
                self.checks.failed(time.monotonic(), probe=probe)
            else:
                self.checks.said_nothing(probe=probe)  # it was us who did not listen
            self._measure("overloaded" if isinstance(error, ClinicOverloaded) else "unavailable", started)
            raise
        except BaseException:
            self.checks.said_nothing(probe=probe)
            raise
        self.checks.answered()
        self._measure(Finding.ELIGIBLE if eligible else Finding.NOT_ELIGIBLE, started)
        return eligible

    @staticmethod
    def _measure(outcome: str, started: float) -> None:
        metrics.ELIGIBILITY_CALL.labels(outcome).observe(time.monotonic() - started)
