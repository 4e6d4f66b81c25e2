"""The HTTP gateways for SMS and push, and the page that shows what all of them have sent.

POST  /sms, /push            202; a key seen before is answered the same and sent no second time
GET   /_sim/sent             JSON lines, one `Sent` each, in order
GET   /_sim/stats            {channel: Tally}
PATCH /_sim/channels/{NAME}  change a channel's `Mood`
GET   /healthz
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec

from loadtest.gateways.ledger import Ledger, Sent
from loadtest.httpserver import JSON_LINES, Exchange

_encoder = msgspec.json.Encoder()


class _Asked(msgspec.Struct):
    to: str
    text: str
    language: str | None = None
    title: str | None = None


class HttpGateways:
    """The handler for `httpserver`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._under_way: dict[str, list[Exchange]] = {}

    def handle(self, exchange: Exchange) -> None:
        match exchange.method, exchange.path.decode("latin-1").split("/"):
            case b"POST", ["", ("sms" | "push") as channel]:
                self._on_message(exchange, channel)
            case b"GET", ["", "_sim", "sent"]:
                exchange.answer(200, _encoder.encode_lines(self._ledger.sent), JSON_LINES)
            case b"GET", ["", "_sim", "stats"]:
                exchange.answer(200, _encoder.encode(self._ledger.tallies))
            case b"PATCH", ["", "_sim", "channels", channel]:
                self._on_mood(exchange, channel)
            case b"GET", ["", "healthz"]:
                exchange.answer(200, b'{"status":"ok"}')
            case _:
                exchange.answer(404)

    def _on_message(self, exchange: Exchange, channel: str) -> None:
        key = exchange.headers.get(b"idempotency-key", b"").decode("latin-1")
        try:
            asked = msgspec.json.decode(exchange.body, type=_Asked)
        except msgspec.DecodeError:
            exchange.answer(422)
            return
        tally = self._ledger.tallies[channel]
        tally.asked += 1
        if not key:
            exchange.answer(400)
        elif self._ledger.has(key):
            tally.repeats += 1
            exchange.answer(202, b'{"status":"sent"}', headers=[(b"idempotent-replayed", b"true")])
        elif key in self._under_way:  # its sender was given up, and another asks for the same
            tally.repeats += 1
            self._under_way[key].append(exchange)
        else:
            self._under_way[key] = [exchange]
            fate = self._ledger.fate(channel)
            asyncio.get_running_loop().call_later(
                self._ledger.mood(channel).delay, self._end, channel, key, asked, fate
            )

    def _end(self, channel: str, key: str, asked: _Asked, fate: str) -> None:
        waiting = self._under_way.pop(key)
        tally = self._ledger.tallies[channel]
        if fate in ("sent", "lost"):
            self._ledger.keep(Sent(channel, key, asked.to, asked.language, asked.title, asked.text, datetime.now(UTC)))
        else:
            tally.failed += fate == "failed"
            tally.refused += fate == "refused"
        tally.lost += fate == "lost"
        for exchange in waiting:
            if fate == "lost":
                exchange.cut()
            else:
                exchange.answer({"sent": 202, "failed": 503, "refused": 422}[fate])

    def _on_mood(self, exchange: Exchange, channel: str) -> None:
        try:
            changes = msgspec.json.decode(exchange.body, type=dict[str, object])
            mood = msgspec.structs.replace(self._ledger.mood(channel), **changes)
            self._ledger.moods[channel] = msgspec.convert(msgspec.to_builtins(mood), type(mood))
        except (msgspec.DecodeError, TypeError) as error:
            exchange.answer(422, _encoder.encode({"detail": str(error)}))
            return
        exchange.answer(200, _encoder.encode(self._ledger.moods[channel]))
