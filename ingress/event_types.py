"""GET /v1/event-types: everything a webhook endpoint can be told, with the JSON Schemas of what it is sent."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingress.answers import json_answer
from ingress.operation import Answer, Operation, answering
from ingress.parts import Parts
from waiting_room.webhook_events import CATALOGUE, PayloadKind, schema_of


class EventTypeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``chosen``: endpoints are told of it only if they ask. ``thin``, ``full``: JSON Schemas (2020-12) of the body, by
    the kind of payload an endpoint has chosen.
    """

    type: str
    description: str
    chosen: bool
    thin: dict[str, Any]
    full: dict[str, Any]


class EventTypeList(msgspec.Struct, frozen=True, kw_only=True):
    event_types: list[EventTypeAnswer]


_LIST: Final = EventTypeList(
    event_types=[
        EventTypeAnswer(
            type=kind.name,
            description=kind.description,
            chosen=kind.chosen,
            thin=schema_of(kind, PayloadKind.THIN),
            full=schema_of(kind, PayloadKind.FULL),
        )
        for kind in CATALOGUE.values()
    ]
)


async def event_types(parts: Parts, request: Request) -> Response:
    return json_answer(_LIST)


EVENT_TYPES: Final = Operation(
    name="event_types",
    method="GET",
    path="/v1/event-types",
    summary="List what webhook endpoints can be told",
    endpoint=answering(event_types),
    answers=(Answer(status=200, description="All of it, with schemas.", body=EventTypeList),),
    secured=False,
)
