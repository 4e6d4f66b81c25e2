"""GET /v1/appointments/{ref}/events: place, ETA and status of one booking, live, until it is decided.

Server-sent events (WHATWG HTML, 9.2). Each is the whole state, so a client that missed some has missed nothing;
``id`` is the clinic's event number it was true at. The last one is the decided booking; who waits for a seat is told
until that is over. A client that reconnects with the id of the last one is told 204, upon which an EventSource stops.
It ends, too, when the key or the pass that it was asked for with does not hold any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import BookingAnswer, encode
from ingress.follow import at_rest, follow
from ingress.found import State, find, own_ref
from ingress.get import answer, reader
from ingress.operation import REF, STRING, Answer, Operation, Parameter, Schema, answering
from ingress.parts import Parts
from ingress.refusal import Refused
from ingress.remembered import Accepted
from ingress.streams import MEDIA_TYPE, EventStream, headers_only

HEARTBEAT_SECONDS: Final = 15.0
ETA_EVERY_SECONDS: Final = 5.0
"""An ETA that moves while nothing else does is told no more often."""

_RECONNECT_MS: Final = 2_000
_ID_DIGITS: Final = 20
"""Of ours, a bigint, none has more."""


async def events(parts: Parts, request: Request) -> Response:
    key = await reader(parts, request)
    ref = own_ref(parts, key, request.path_params["ref"])
    with ExitStack() as opened:
        opened.enter_context(parts.streams.place(key))  # before anything is read
        state = await find(parts, key, ref)
        if _has_seen_the_end(state, request.headers.get("last-event-id")):
            return Response(status_code=204)
        if request.method == "HEAD":
            return headers_only()
        return EventStream(_stream(parts, request, ref, state), opened.pop_all())


def _has_seen_the_end(state: State, last_event_id: str | None) -> bool:
    if isinstance(state, Accepted) or not at_rest(state) or last_event_id is None:
        return False
    is_number = last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < _ID_DIGITS
    return is_number and int(last_event_id) >= state.own_seq


async def _stream(parts: Parts, request: Request, ref: str, state: State) -> AsyncGenerator[bytes, None]:
    clock = asyncio.get_running_loop().time
    told: BookingAnswer | None = None
    sent_at = clock()
    yield b"retry: %d\n\n" % _RECONNECT_MS
    async with aclosing(follow(parts, ref, state)) as states:
        async for state in states:
            now_told = await answer(parts, state)
            quiet = clock() - sent_at
            news = told is None or _differs(now_told, told, but_for_eta=quiet < ETA_EVERY_SECONDS)
            if not news and quiet < HEARTBEAT_SECONDS:
                continue
            if told is not None and not await _may_still_read(parts, request):
                return
            sent_at = clock()
            if news:
                told = now_told
                yield _event(state, now_told)
            else:
                yield b": still here\n\n"


async def _may_still_read(parts: Parts, request: Request) -> bool:
    """Whether the key or the pass still holds; as far as that can be told now."""
    try:
        await reader(parts, request)
    except Refused as refusal:
        return refusal.kind.status >= 500
    return True


def _differs(now: BookingAnswer, before: BookingAnswer, *, but_for_eta: bool) -> bool:
    if not but_for_eta and now.eta != before.eta:
        return True
    return (now.status, now.stage, now.place, now.start_at, now.waitlist) != (
        before.status,
        before.stage,
        before.place,
        before.start_at,
        before.waitlist,
    )


def _event(state: State, told: BookingAnswer) -> bytes:
    number = b"" if isinstance(state, Accepted) else b"id: %d\n" % state.seq
    return b"%sevent: booking\ndata: %s\n\n" % (number, encode(told))


_ONE_EVENT: Final[Schema] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"const": "booking"},
        "id": {"type": "string", "pattern": r"^\d+$"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/BookingAnswer"},
        },
    },
}
EVENTS: Final = Operation(
    name="events",
    method="GET",
    path="/v1/appointments/{ref}/events",
    summary="Watch a booking",
    endpoint=answering(events),
    parameters=(
        REF,
        Parameter(
            name="Last-Event-ID",
            where="header",
            schema=STRING,
            description="The id of the last event received, sent by a client that reconnects.",
        ),
    ),
    answers=(
        Answer(
            status=200,
            description="Events of type `booking`, each with the booking as JSON; ends after the decided one.",
            media_type=MEDIA_TYPE,
            body=_ONE_EVENT,
        ),
        Answer(status=204, description="It is decided, and Last-Event-ID says that this was received.", media_type=""),
    ),
    problems=(
        problems.UNKNOWN_BOOKING,
        problems.TOO_MANY_STREAMS,
        problems.STREAMS_FULL,
        problems.READS_AWAY,
    ),
    by_pass=True,
)
