"""POST /v1/webhook-endpoints/{id}/rotate, /test, /enable and /disable."""

from __future__ import annotations

from base64 import b32encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ingress import problems
from ingress.answers import json_answer
from ingress.operation import IDEMPOTENCY_KEY, Answer, Operation, answering
from ingress.parts import Parts
from ingress.refusal import Refused
from ingress.requests import idempotency_key
from ingress.webhook_answers import (
    ENDPOINT_ID,
    PATH,
    DeliveryAnswer,
    EndpointAnswer,
    EndpointSecret,
    delivery_told,
    managing,
    own_endpoint,
    secret_of,
    told,
)
from waiting_room.access import OwnerKind
from waiting_room.domain.delivery import DisabledReason
from waiting_room.store import webhook_endpoints, webhook_secrets
from waiting_room.store.pool import Connection
from waiting_room.store.webhook_secrets import NewSecret
from waiting_room.webhook_signing import new_keys, seal

SECRETS_MAX: Final = 4
"""That sign at once: each is two signatures in a header."""


async def rotate(parts: Parts, request: Request) -> Response:
    """A new secret signs at once, the one before for a while longer: receivers change over in between."""
    key, endpoint_id = managing(parts, request), request.path_params["endpoint_id"]
    envelope = parts.envelope
    digest = sha256(idempotency_key(dict(request.scope["headers"])).encode()).digest()
    secret_id = b32encode(digest[:15]).decode().lower()

    async def work(conn: Connection) -> EndpointSecret:
        row = await own_endpoint(conn, key, endpoint_id)
        await webhook_endpoints.lock_owner(conn, row.owner_kind, row.owner_id)
        sealed = await webhook_secrets.find(conn, endpoint_id, secret_id)
        if sealed is None:
            if await webhook_secrets.signing(conn, endpoint_id) >= SECRETS_MAX:
                raise Refused(problems.TOO_MANY_SECRETS, f"{SECRETS_MAX} secrets sign for it now.")
            sealed = seal(envelope, endpoint_id, new_keys())
            overlap = parts.settings.webhook_secret_overlap_seconds
            await webhook_secrets.replace(conn, [NewSecret(endpoint_id, secret_id, *sealed)], overlap)
        row = await own_endpoint(conn, key, endpoint_id)
        return EndpointSecret(secret=secret_of(envelope, endpoint_id, sealed), endpoint=told(row))

    return json_answer(await parts.writes.run(work))


async def test(parts: Parts, request: Request) -> Response:
    key, endpoint_id = managing(parts, request), request.path_params["endpoint_id"]

    async def work(conn: Connection) -> DeliveryAnswer:
        row = await own_endpoint(conn, key, endpoint_id)
        if not row.active:
            raise Refused(problems.ENDPOINT_DISABLED, "It is sent nothing, not even a test.")
        made = await webhook_endpoints.add_test(conn, endpoint_id, datetime.now(UTC))
        delivery = await webhook_endpoints.delivery(conn, endpoint_id, *made)
        assert delivery is not None
        return delivery_told(endpoint_id, delivery)

    return json_answer(await parts.writes.run(work), 202)


async def enable(parts: Parts, request: Request) -> Response:
    key, endpoint_id = managing(parts, request), request.path_params["endpoint_id"]

    async def work(conn: Connection) -> EndpointAnswer:
        await own_endpoint(conn, key, endpoint_id)
        await webhook_endpoints.enable(conn, endpoint_id)
        return told(await own_endpoint(conn, key, endpoint_id))

    return json_answer(await parts.writes.run(work))


async def disable(parts: Parts, request: Request) -> Response:
    key, endpoint_id = managing(parts, request), request.path_params["endpoint_id"]
    reason = DisabledReason.OPERATOR if key.owner_kind == OwnerKind.OPERATOR else DisabledReason.OWNER

    async def work(conn: Connection) -> EndpointAnswer:
        await own_endpoint(conn, key, endpoint_id)
        await webhook_endpoints.disable(conn, endpoint_id, reason)
        return told(await own_endpoint(conn, key, endpoint_id))

    return json_answer(await parts.writes.run(work))


_PROBLEMS: Final = (problems.UNKNOWN_ENDPOINT, problems.NOT_CHANGED)
ENDPOINT_CHANGES: Final = (
    Operation(
        name="rotate_webhook_secret",
        method="POST",
        path=f"{PATH}/{{endpoint_id}}/rotate",
        summary="Give a webhook endpoint a new secret; the one before goes on signing for a day",
        endpoint=answering(rotate),
        parameters=(ENDPOINT_ID, IDEMPOTENCY_KEY),
        answers=(Answer(status=200, description="The new secret, or the one this key has made.", body=EndpointSecret),),
        problems=(*_PROBLEMS, problems.BAD_HEADER, problems.TOO_MANY_SECRETS, problems.WEBHOOKS_AWAY),
    ),
    Operation(
        name="test_webhook_endpoint",
        method="POST",
        path=f"{PATH}/{{endpoint_id}}/test",
        summary="Have a webhook endpoint sent a test event",
        endpoint=answering(test),
        parameters=(ENDPOINT_ID,),
        answers=(Answer(status=202, description="It is on its way; read it to see the answer.", body=DeliveryAnswer),),
        problems=(*_PROBLEMS, problems.ENDPOINT_DISABLED),
    ),
    Operation(
        name="enable_webhook_endpoint",
        method="POST",
        path=f"{PATH}/{{endpoint_id}}/enable",
        summary="Switch a webhook endpoint on, to be told of what happens from now on",
        endpoint=answering(enable),
        parameters=(ENDPOINT_ID,),
        answers=(Answer(status=200, description="It is on.", body=EndpointAnswer),),
        problems=_PROBLEMS,
    ),
    Operation(
        name="disable_webhook_endpoint",
        method="POST",
        path=f"{PATH}/{{endpoint_id}}/disable",
        summary="Switch a webhook endpoint off; what waits for it fails",
        endpoint=answering(disable),
        parameters=(ENDPOINT_ID,),
        answers=(Answer(status=200, description="It is off.", body=EndpointAnswer),),
        problems=_PROBLEMS,
    ),
)
