"""A simulated system that knows who may have what, and how it treats whoever asks.

POST  /checks         200 {"eligible": true} or {"eligible": false, "reason": ...}; 401 without the token, if it has one
GET   /_sim/stats     `Stats`
GET   /_sim/mood      the `Mood`
PATCH /_sim/mood      change some of it: {"down": "hang"} is an outage from now on
GET   /healthz

Whether a patient may have something is drawn from the question, so that the same question has the same answer.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from loadtest.httpserver import Exchange

Share = Annotated[float, Meta(ge=0, le=1)]
_encode = msgspec.json.Encoder().encode


class Mood(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``refusing``: of all questions, how many are answered with no. ``failing``: of them, how many are not answered
    but with 500, drawn from the question too. ``down``: it answers 503, cuts the connection, or never answers.
    """

    delay: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds until it answers."""
    refusing: Share = 0.0
    failing: Share = 0.0
    down: Literal["503", "cut", "hang"] | None = None
    reason: str = "not_insured"


class Asked(msgspec.Struct, frozen=True):
    """The body of a question."""

    app_id: str
    patient_id: str
    business_id: str
    service_type: str


class Stats(msgspec.Struct):
    """``asked`` counts every question that arrived, ``most`` those for one patient and service."""

    asked: int = 0
    eligible: int = 0
    not_eligible: int = 0
    failed: int = 0
    most: int = 0


class EligibilitySystem:
    """``handle`` is the handler for `httpserver`. ``refused``: patients who may have nothing, whatever the mood."""

    def __init__(self, mood: Mood, token: str | None = None) -> None:
        self.mood = mood
        self.stats = Stats()
        self.refused: set[str] = set()
        self._bearer = f"Bearer {token}".encode() if token else None
        self._times: dict[Asked, int] = {}
        self._unanswered: list[Exchange] = []

    def change(self, **changes: object) -> None:
        """From now on. Raises msgspec.ValidationError, TypeError."""
        mood = msgspec.structs.replace(self.mood, **changes)
        self.mood = msgspec.convert(msgspec.to_builtins(mood), Mood)

    def handle(self, exchange: Exchange) -> None:
        match exchange.method, exchange.path:
            case b"POST", b"/checks":
                self._on_question(exchange)
            case b"GET", b"/_sim/stats":
                exchange.answer(200, _encode(self.stats))
            case b"GET", b"/_sim/mood":
                exchange.answer(200, _encode(self.mood))
            case b"PATCH", b"/_sim/mood":
                self._on_mood(exchange)
            case b"GET", b"/healthz":
                exchange.answer(200, b'{"status":"ok"}')
            case _:
                exchange.answer(404)

    def _on_question(self, exchange: Exchange) -> None:
        if self._bearer is not None and exchange.headers.get(b"authorization") != self._bearer:
            exchange.answer(401)
            return
        try:
            asked = msgspec.json.decode(exchange.body, type=Asked)
        except msgspec.DecodeError:
            exchange.answer(422)
            return
        self.stats.asked += 1
        self._times[asked] = self._times.get(asked, 0) + 1
        self.stats.most = max(self.stats.most, self._times[asked])
        if self.mood.down == "hang":
            self._unanswered.append(exchange)  # kept, so that nobody takes it for dropped
        elif self.mood.delay:
            asyncio.get_running_loop().call_later(self.mood.delay, self._answer, exchange, asked)
        else:
            self._answer(exchange, asked)

    def _answer(self, exchange: Exchange, asked: Asked) -> None:
        if self.mood.down == "cut":
            self.stats.failed += 1
            exchange.cut()
        elif self.mood.down is not None:
            self.stats.failed += 1
            exchange.answer(503, headers=[(b"retry-after", b"1")])
        elif _drawn(asked, b"failing") < self.mood.failing:
            self.stats.failed += 1
            exchange.answer(500)
        elif asked.patient_id in self.refused or _drawn(asked, b"refusing") < self.mood.refusing:
            self.stats.not_eligible += 1
            exchange.answer(200, _encode({"eligible": False, "reason": self.mood.reason}))
        else:
            self.stats.eligible += 1
            exchange.answer(200, _encode({"eligible": True}))

    def _on_mood(self, exchange: Exchange) -> None:
        try:
            self.change(**msgspec.json.decode(exchange.body, type=dict[str, object]))
        except (msgspec.DecodeError, TypeError) as error:
            exchange.answer(422, _encode({"detail": str(error)}))
            return
        exchange.answer(200, _encode(self.mood))


def _drawn(asked: Asked, what: bytes) -> float:
    """From [0, 1), the same for the same question."""
    drawn = blake2b(_encode(asked), digest_size=8, person=what).digest()
    return int.from_bytes(drawn, "big") / 2**64
