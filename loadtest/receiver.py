"""`python -m loadtest receiver`: a webhook endpoint as a clinic or an app would run one.

    POST  /hooks/{endpoint_id}         204, or 401 if the signature does not hold, 404 if no secret is known
    GET   /_sim/stats                  {"cpu_seconds", "endpoints": {endpoint_id: Tally}}
    GET   /_sim/received[?endpoint=ID] JSON lines, one `Delivery` each, in order of arrival
    PATCH /_sim/endpoints/{ID}         change its `Mood`: slow, failing or silent
    GET   /healthz

Signatures are checked by the `standardwebhooks` package, not by our own code: that is the point.
"""

import asyncio
import logging
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

import msgspec
import typer
import uvloop
from msgspec import Meta
from standardwebhooks import Webhook, WebhookVerificationError

from loadtest.httpserver import JSON_LINES, Exchange, serve_until_signalled

_encoder = msgspec.json.Encoder()
log = logging.getLogger(__name__)


class Mood(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an endpoint treats deliveries whose signature holds."""

    delay: Annotated[float, Meta(ge=0)] = 0.0  # seconds before it answers
    status: Annotated[int, Meta(ge=200, le=599)] = 204
    hang: bool = False  # takes no note, never answers


class Delivery(msgspec.Struct, gc=False):
    """One attempt whose signature held, and what it was answered. ``sequence`` is the event's number at its clinic,
    ``booking_sequence`` the one among its booking's public events.
    """

    endpoint_id: str
    webhook_id: str
    type: str | None
    booking_ref: str | None
    sequence: int | None
    booking_sequence: int | None
    received_at: datetime
    status: int


class Tally(msgspec.Struct):
    """`duplicates`: verified deliveries of a webhook-id that had been answered 2xx before; `accepted`:
    first ones.
    """

    verified: int = 0
    failed: int = 0
    accepted: int = 0
    duplicates: int = 0
    hung: int = 0


class _Facts(msgspec.Struct, gc=False):
    booking_ref: str | None = None
    sequence: int | None = None
    clinic_sequence: int | None = None
    seq: int | None = None

    @property
    def number(self) -> int | None:
        """At its clinic."""
        if self.clinic_sequence is not None:
            return self.clinic_sequence
        return self.seq if self.sequence is None else self.sequence

    @property
    def booking_number(self) -> int | None:
        return None if self.clinic_sequence is None else self.sequence


class _Payload(_Facts, gc=False):
    """What we read of a Standard Webhooks payload; the facts stand in `data`, or beside `type`.

    The event's number may be called by its short name, as in our own events.
    """

    type: str | None = None
    data: _Facts = msgspec.field(default_factory=_Facts)


_decode_payload = msgspec.json.Decoder(_Payload).decode


class Secrets:
    """Signing secrets by endpoint, from a JSON object `{endpoint_id: "whsec_..."}` that may grow or change."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._verifiers: dict[str, Webhook] = {}
        self._read_mtime_ns = -1

    def verifier(self, endpoint_id: str) -> Webhook | None:
        """None if there is no secret for it in the file as it is (or, half written, as it last made sense)."""
        try:
            self.reload()
        except ValueError as error:
            log.warning("secrets kept as they were: %s", error)
        return self._verifiers.get(endpoint_id)

    def reload(self) -> None:
        """Read the file if it has changed since.

        A missing file is one not written yet. Raises ValueError for one that holds something else.
        """
        try:
            if self._path is None or (mtime_ns := self._path.stat().st_mtime_ns) == self._read_mtime_ns:
                return
            secrets = msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return
        self._verifiers = {endpoint_id: Webhook(secret) for endpoint_id, secret in secrets.items()}
        self._read_mtime_ns = mtime_ns


class Receiver:
    """The handler for `httpserver`."""

    def __init__(self, secrets: Secrets) -> None:
        self.deliveries: list[Delivery] = []
        self.tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self._secrets = secrets
        self._moods: dict[str, Mood] = {}
        self._accepted: set[tuple[str, str]] = set()

    def handle(self, exchange: Exchange) -> None:
        match exchange.method, exchange.path.decode("latin-1").split("/"):
            case b"POST", ["", "hooks", endpoint_id]:
                self._on_delivery(exchange, endpoint_id)
            case b"GET", ["", "_sim", "stats"]:
                stats = {"cpu_seconds": time.process_time(), "endpoints": self.tallies}
                exchange.answer(200, _encoder.encode(stats))
            case b"GET", ["", "_sim", "received"]:
                wanted = parse_qs(exchange.query.decode("latin-1")).get("endpoint")
                shown = [d for d in self.deliveries if wanted is None or d.endpoint_id in wanted]
                exchange.answer(200, _encoder.encode_lines(shown), JSON_LINES)
            case b"PATCH", ["", "_sim", "endpoints", endpoint_id]:
                self._on_mood(exchange, endpoint_id)
            case b"GET", ["", "healthz"]:
                exchange.answer(200, b'{"status":"ok"}')
            case _:
                exchange.answer(404)

    def _on_delivery(self, exchange: Exchange, endpoint_id: str) -> None:
        verifier = self._secrets.verifier(endpoint_id)
        if verifier is None:
            exchange.answer(404)
            return
        tally = self.tallies[endpoint_id]
        if not _holds(exchange, verifier):
            tally.failed += 1
            exchange.answer(401)
            return
        tally.verified += 1
        mood = self._moods.get(endpoint_id, Mood())
        if mood.hang:
            tally.hung += 1
        elif mood.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(mood.delay, self._take, exchange, endpoint_id, mood.status)
        else:
            self._take(exchange, endpoint_id, mood.status)

    def _take(self, exchange: Exchange, endpoint_id: str, status: int) -> None:
        webhook_id = exchange.headers[b"webhook-id"].decode("latin-1")
        try:
            payload = _decode_payload(exchange.body)
        except msgspec.DecodeError:
            payload = _Payload()
        self.deliveries.append(
            Delivery(
                endpoint_id,
                webhook_id,
                payload.type,
                payload.data.booking_ref or payload.booking_ref,
                payload.number if payload.data.number is None else payload.data.number,
                payload.data.booking_number,
                datetime.now(UTC),
                status,
            )
        )
        if (endpoint_id, webhook_id) in self._accepted:
            self.tallies[endpoint_id].duplicates += 1
        elif status < 300:
            self._accepted.add((endpoint_id, webhook_id))
            self.tallies[endpoint_id].accepted += 1
        exchange.answer(status)

    def _on_mood(self, exchange: Exchange, endpoint_id: str) -> None:
        mood = self._moods.get(endpoint_id, Mood())
        try:
            changes = msgspec.json.decode(exchange.body, type=dict[str, object])
            mood = msgspec.convert({**msgspec.to_builtins(mood), **changes}, Mood)
        except msgspec.DecodeError as error:
            exchange.answer(422, _encoder.encode({"detail": str(error)}))
            return
        self._moods[endpoint_id] = mood
        exchange.answer(200, _encoder.encode(mood))


def _holds(exchange: Exchange, verifier: Webhook) -> bool:
    headers = {
        name.decode(): value.decode("latin-1")
        for name, value in exchange.headers.items()
        if name.startswith(b"webhook-")
    }
    try:
        verifier.verify(exchange.body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: a header or body that cannot be read at all
        return False
    return True


def receiver(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secrets: Annotated[
        Path | None, typer.Option(help='JSON: {"endpoint id": "whsec_..."}; read again when it changes.')
    ] = None,
) -> None:
    """Receive webhooks at http://HOST:PORT/hooks/ID and check their signatures."""
    store = Secrets(secrets)
    try:
        store.reload()
    except ValueError as error:
        print(f"{secrets}: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    uvloop.run(serve_until_signalled(Receiver(store).handle, port, host))
