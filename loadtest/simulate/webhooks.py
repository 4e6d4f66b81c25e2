"""Webhook deliveries in virtual time: the sender's own pacing, schedule and verdicts, with everything else simulated.

What is due waits in a pile for each endpoint, as in PostgreSQL; a sender claims in rounds, the endpoint whose pile has
waited longest first, never more than its pace leaves room for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from heapq import heappop, heappush
from random import Random

from loadtest.simulate.clock import MIDNIGHT, Clock
from waiting_room.settings import Settings
from waiting_room.store.webhooks import Delivery
from workers.webhooks.paces import OF_OTHERS, Paces
from workers.webhooks.schedule import pauses_of
from workers.webhooks.sender import CLAIM_MAX, EVERY_SECONDS
from workers.webhooks.verdict import Answer, settle

PUBLISHED_SECONDS = 0.03, 0.12
"""From commit until a delivery is due: relay's and intake's rounds."""


class Health(Enum):
    WELL = auto()
    HANGS = auto()
    FAILS = auto()


@dataclass(slots=True)
class _Due:
    committed: float
    attempts: int = 0


@dataclass(slots=True)
class _Endpoint:
    health: Health
    usual_seconds: float
    due: list[tuple[float, int, _Due]] = field(default_factory=list)


class Webhooks:
    """One sender with the settings' limits. ``waits``: from commit to 2xx, of endpoints that are well."""

    def __init__(self, healths: Sequence[Health], seed: int) -> None:
        self.clock = Clock()
        self.waits: list[float] = []
        self.attempts = 0
        fields = Settings.model_fields
        self._chance = Random(f"webhooks {seed}")
        self._endpoints = {
            f"ep_{number}": _Endpoint(health, self._chance.uniform(0.01, 0.15)) for number, health in enumerate(healths)
        }
        self._paces = Paces(fields["webhook_endpoint_in_flight_max"].default)
        self._pauses = pauses_of(fields["webhook_retry_seconds"].default)
        self._timeout: float = fields["webhook_timeout_seconds"].default
        self._most: int = fields["webhook_in_flight_max"].default
        self._in_flight = 0
        self._number = 0
        self.clock.after(0.0, self._round)

    def commit(self, endpoint_number: int) -> None:
        """An event for this endpoint is committed now."""
        due = _Due(self.clock.now)
        endpoint_id = f"ep_{endpoint_number}"
        self.clock.after(self._chance.uniform(*PUBLISHED_SECONDS), self._put, endpoint_id, due, 0.0)

    def recover(self, endpoint_number: int) -> None:
        """From now on this endpoint is well."""
        self._endpoints[f"ep_{endpoint_number}"].health = Health.WELL

    def _put(self, endpoint_id: str, due: _Due, in_seconds: float) -> None:
        self._number += 1
        heappush(self._endpoints[endpoint_id].due, (self.clock.now + in_seconds, self._number, due))

    def _round(self) -> None:
        now = self.clock.now
        rooms = self._paces.left(now)
        piles = sorted(
            (endpoint.due[0][0], endpoint_id)
            for endpoint_id, endpoint in self._endpoints.items()
            if endpoint.due and endpoint.due[0][0] <= now
        )
        left = min(self._most - self._in_flight, CLAIM_MAX)
        for endpoint_id in deque(endpoint_id for _, endpoint_id in piles):
            pile = self._endpoints[endpoint_id].due
            room = rooms.get(endpoint_id, OF_OTHERS)
            while left > 0 and room > 0 and pile and pile[0][0] <= now:
                self._send(endpoint_id, heappop(pile)[2])
                left, room = left - 1, room - 1
        self.clock.after(EVERY_SECONDS, self._round)

    def _send(self, endpoint_id: str, due: _Due) -> None:
        endpoint = self._endpoints[endpoint_id]
        turn = self._paces.took(endpoint_id, self.clock.now)
        self._in_flight += 1
        self.attempts += 1
        seconds = endpoint.usual_seconds * self._chance.lognormvariate(0.0, 0.3)
        answer = Answer(204)
        if endpoint.health is Health.HANGS:
            seconds, answer = self._timeout, Answer(None, "timeout")
        elif endpoint.health is Health.FAILS:
            answer = Answer(500)

        def ended() -> None:
            self._in_flight -= 1
            self._paces.ended(endpoint_id, turn, answer.verdict, self.clock.now, seconds=seconds)
            self._settle(endpoint_id, due, answer, seconds)

        self.clock.after(seconds, ended)

    def _settle(self, endpoint_id: str, due: _Due, answer: Answer, seconds: float) -> None:
        settled = settle(
            _delivery(endpoint_id, due),
            answer,
            self._pauses,
            chance=self._chance.random(),
            started_at=self.clock.at,
            seconds=seconds,
            now=self.clock.at,
        )
        if settled.again_in_seconds is not None:
            due.attempts += settled.spent
            self._put(endpoint_id, due, settled.again_in_seconds)
        elif self._endpoints[endpoint_id].health is Health.WELL:
            self.waits.append(self.clock.now - due.committed)


def _delivery(endpoint_id: str, due: _Due) -> Delivery:
    at = datetime(MIDNIGHT.year, MIDNIGHT.month, MIDNIGHT.day, tzinfo=UTC)
    return Delivery(
        endpoint_id, "0001", 1, "ref", "booking.confirmed", due.attempts, at, "", False, False, "{}", 0.0, None, None,
        None, 1, (),
    )  # fmt: skip
