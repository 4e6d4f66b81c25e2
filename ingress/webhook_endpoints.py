"""POST and GET /v1/webhook-endpoints: an owner makes and reads its webhook endpoints.

A new endpoint is sent a test event, and nothing else until it has answered one: nobody is sent what they did not ask
for. What happens meanwhile waits for it.
"""

from __future__ import annotations

from base64 import b32encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.body import BODY_PROBLEMS, read_as
from ingress.operation import IDEMPOTENCY_KEY, STRING, Answer, Operation, answering
from ingress.parts import Parts
from ingress.refusal import Refused, wrong_field
from ingress.requests import idempotency_key, json_body
from ingress.webhook_answers import (
    ENDPOINT_ID,
    PATH,
    EndpointAnswer,
    EndpointList,
    EndpointSecret,
    managing,
    own_endpoint,
    secret_of,
    told,
)
from ingress.webhook_url import why_not
from waiting_room.access import OwnerKind
from waiting_room.domain.addresses import networks_of
from waiting_room.envelope import Envelope
from waiting_room.messages import AccessKey
from waiting_room.store import webhook_endpoints, webhook_secrets
from waiting_room.store.pool import Connection
from waiting_room.store.webhook_endpoints import NewEndpoint
from waiting_room.store.webhook_secrets import NewSecret
from waiting_room.webhook_events import CHOSEN, PayloadKind
from waiting_room.webhook_signing import new_keys, seal

ENDPOINTS_MAX: Final = 20
"""Of one owner, switched off ones too."""
FIRST: Final = "first"
"""The id of the secret an endpoint is made with."""

EventName = Annotated[str, Meta(description="One of /v1/event-types that is `chosen`.")]


class EndpointRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``events``: all that can be chosen unless some are named."""

    url: Annotated[str, Meta(min_length=1, max_length=2_000, description="https, to a public address.")]
    events: Annotated[tuple[EventName, ...], Meta(min_length=1, max_length=50)] = CHOSEN
    payload: PayloadKind = PayloadKind.THIN


_decode: Final = msgspec.json.Decoder(EndpointRequest).decode


async def create(parts: Parts, request: Request) -> Response:
    key = managing(parts, request)
    if key.owner_kind == OwnerKind.OPERATOR:
        raise Refused(problems.FORBIDDEN, "Only an app's or a clinic's key makes endpoints: they are its own.")
    envelope = parts.envelope
    headers = dict(request.scope["headers"])
    endpoint_id = _id_of(key, idempotency_key(headers))
    wanted = _checked(parts, read_as(await json_body(request, parts.settings.ingress_body_max_bytes), _decode))

    async def work(conn: Connection) -> EndpointSecret:
        return await _create(conn, envelope, key, endpoint_id, wanted)

    made = await parts.writes.run(work)
    return json_answer(made, 201, {"Location": made.endpoint.links.self_})


async def _create(
    conn: Connection, envelope: Envelope, key: AccessKey, endpoint_id: str, wanted: EndpointRequest
) -> EndpointSecret:
    """Made, or found as the same request has made it."""
    await webhook_endpoints.lock_owner(conn, key.owner_kind, key.owner_id)
    body_hash = sha256(msgspec.json.encode(wanted)).digest()
    row = await webhook_endpoints.find(conn, endpoint_id)
    if row is None:
        if len(await webhook_endpoints.of_owner(conn, key.owner_kind, key.owner_id)) >= ENDPOINTS_MAX:
            raise Refused(problems.TOO_MANY_ENDPOINTS, f"There are {ENDPOINTS_MAX} already.")
        owner = key.owner_kind, key.owner_id
        new = NewEndpoint(endpoint_id, *owner, wanted.url, wanted.events, wanted.payload, body_hash)
        await webhook_endpoints.create(conn, new)
        sealed = seal(envelope, endpoint_id, new_keys())
        await webhook_secrets.replace(conn, [NewSecret(endpoint_id, FIRST, *sealed)], 0.0)
        await webhook_endpoints.add_test(conn, endpoint_id, datetime.now(UTC))
        row = await webhook_endpoints.find(conn, endpoint_id)
    elif row.body_hash != body_hash:
        raise Refused(problems.KEY_REUSED, "The key has made another endpoint.")
    first = await webhook_secrets.find(conn, endpoint_id, FIRST)
    assert row is not None
    assert first is not None
    return EndpointSecret(secret=secret_of(envelope, endpoint_id, first), endpoint=told(row))


def _checked(parts: Parts, wanted: EndpointRequest) -> EndpointRequest:
    """With each event once. Raises Refused (422)."""
    if why := why_not(wanted.url, networks_of(parts.settings.webhook_allow_networks)):
        fix = "Send an https address that others can reach, without a login in it."
        raise wrong_field("/url", why, fix, problems.WRONG_VALUE)
    for position, event in enumerate(wanted.events):
        if event not in CHOSEN:
            fix = f"Choose from {', '.join(CHOSEN)}."
            raise wrong_field(f"/events/{position}", "There is no such event type.", fix, problems.WRONG_VALUE)
    return msgspec.structs.replace(wanted, events=tuple(sorted(set(wanted.events))))


def _id_of(key: AccessKey, idempotency: str) -> str:
    """The same request makes one endpoint."""
    digest = sha256("\0".join((key.owner_kind, key.owner_id, idempotency)).encode()).digest()
    return f"ep_{b32encode(digest[:15]).decode().lower()}"


async def list_endpoints(parts: Parts, request: Request) -> Response:
    key = managing(parts, request)
    rows = await parts.reads.run(lambda conn: webhook_endpoints.of_owner(conn, key.owner_kind, key.owner_id))
    return json_answer(EndpointList(endpoints=[told(row) for row in rows]))


async def read(parts: Parts, request: Request) -> Response:
    key, endpoint_id = managing(parts, request), request.path_params["endpoint_id"]
    return json_answer(told(await parts.reads.run(lambda conn: own_endpoint(conn, key, endpoint_id))))


ENDPOINTS: Final = (
    Operation(
        name="create_webhook_endpoint",
        method="POST",
        path=PATH,
        summary="Make a webhook endpoint",
        endpoint=answering(create),
        parameters=(IDEMPOTENCY_KEY,),
        body=EndpointRequest,
        answers=(
            Answer(
                status=201,
                description="Made, or made before by the same request; a test event is on its way.",
                body=EndpointSecret,
                headers={"Location": STRING},
                always=("Location",),
            ),
        ),
        problems=(
            problems.BAD_HEADER,
            *BODY_PROBLEMS,
            problems.KEY_REUSED,
            problems.TOO_MANY_ENDPOINTS,
            problems.WEBHOOKS_AWAY,
            problems.NOT_CHANGED,
        ),
    ),
    Operation(
        name="webhook_endpoints",
        method="GET",
        path=PATH,
        summary="List the webhook endpoints of the key's owner",
        endpoint=answering(list_endpoints),
        answers=(Answer(status=200, description="All of them, in the order they were made.", body=EndpointList),),
        problems=(problems.READS_AWAY,),
    ),
    Operation(
        name="webhook_endpoint",
        method="GET",
        path=f"{PATH}/{{endpoint_id}}",
        summary="Read a webhook endpoint",
        endpoint=answering(read),
        parameters=(ENDPOINT_ID,),
        answers=(Answer(status=200, description="How it is doing.", body=EndpointAnswer),),
        problems=(problems.UNKNOWN_ENDPOINT, problems.READS_AWAY),
    ),
)
