"""What ingress says of webhook endpoints and deliveries, and whose they are."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec
import structlog
from starlette.requests import Request

from ingress import problems
from ingress.access import require_scope
from ingress.operation import STRING, Parameter
from ingress.parts import Parts
from ingress.refusal import Refused
from waiting_room.access import OwnerKind, Scope
from waiting_room.domain.delivery import DeliveryState, DisabledReason, FailedWhy
from waiting_room.envelope import CannotOpen, Envelope
from waiting_room.messages import AccessKey
from waiting_room.store import webhook_endpoints
from waiting_room.store.pool import Connection
from waiting_room.store.webhook_endpoints import DeliveryRow, EndpointRow
from waiting_room.webhook_events import PayloadKind, webhook_id
from waiting_room.webhook_signing import Sealed, opened

log = structlog.get_logger(__name__)

PATH: Final = "/v1/webhook-endpoints"
ENDPOINT_ID: Final = Parameter(
    name="endpoint_id", where="path", schema=STRING, description="An endpoint of the key's owner.", required=True
)


class EndpointLinks(msgspec.Struct, frozen=True, rename={"self_": "self"}):
    self_: str
    deliveries: str


class EndpointAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint; never its secret.

    ``state``: ``unverified`` until it has answered a test event with 2xx, ``active``, or ``disabled`` with a reason.
    ``public_keys`` verify its ``v1a`` signatures, the newest first. ``told_from``: it is told of what happens since
    then. ``failing_since``: nothing but failures since then, null while all is well.
    """

    endpoint_id: str
    url: str
    events: tuple[str, ...]
    payload: PayloadKind
    state: Literal["unverified", "active", "disabled"]
    public_keys: tuple[str, ...]
    created_at: datetime
    told_from: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None
    links: EndpointLinks


class EndpointSecret(msgspec.Struct, frozen=True, kw_only=True):
    """``secret`` is what ``v1`` signatures are made with: keep it, it is not shown again."""

    secret: str
    endpoint: EndpointAnswer


class EndpointList(msgspec.Struct, frozen=True, kw_only=True):
    endpoints: list[EndpointAnswer]


class DeliveryLinks(msgspec.Struct, frozen=True, rename={"self_": "self"}):
    self_: str


class DeliveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery. ``webhook_id`` is the header that each of its attempts carries.

    ``state``: ``due`` (an attempt is to come at ``next_attempt_at``), ``delivered``, or ``failed`` for good, until
    somebody replays it. ``attempts`` since it was made or last replayed.
    """

    webhook_id: str
    type: str
    booking_ref: str | None
    state: DeliveryState
    failed_why: FailedWhy | None
    attempts: int
    replays: int
    happened_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    last_status: int | None
    last_error: str | None
    links: DeliveryLinks


def managing(parts: Parts, request: Request) -> AccessKey:
    """Whose request it is. Raises Refused."""
    key = parts.authenticate(dict(request.scope["headers"]))
    require_scope(key, Scope.WEBHOOKS)
    return key


async def own_endpoint(conn: Connection, key: AccessKey, endpoint_id: str) -> EndpointRow:
    """Raises Refused (404): another owner's endpoint is as good as none."""
    # PostgreSQL has no zero in its texts.
    row = None if "\0" in endpoint_id else await webhook_endpoints.find(conn, endpoint_id)
    theirs = row is not None and (row.owner_kind, row.owner_id) == (key.owner_kind, key.owner_id)
    if row is None or not (theirs or key.owner_kind == OwnerKind.OPERATOR):
        raise Refused(problems.UNKNOWN_ENDPOINT, "There is none by this id, or it is somebody else's.")
    return row


def secret_of(envelope: Envelope, endpoint_id: str, sealed: Sealed) -> str:
    """Raises Refused (503): what is wrong with our keys can be put right."""
    try:
        return opened(envelope, endpoint_id, sealed.sealed).secret
    except CannotOpen as error:
        log.error("webhook_secret_does_not_open", endpoint_id=endpoint_id, error=str(error))
        detail = "The secret that is kept cannot be read with the keys set here."
        raise Refused(problems.WEBHOOKS_AWAY, detail, headers={"Retry-After": "60"}) from error


def told(row: EndpointRow) -> EndpointAnswer:
    """What is said of it."""
    address = f"{PATH}/{row.endpoint_id}"
    return EndpointAnswer(
        endpoint_id=row.endpoint_id,
        url=row.url,
        events=row.events,
        payload=row.payload,
        state="disabled" if not row.active else "active" if row.verified_at else "unverified",
        public_keys=row.public_keys,
        created_at=row.created_at,
        told_from=row.told_from,
        failing_since=row.failing_since,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
        links=EndpointLinks(address, f"{address}/deliveries"),
    )


def delivery_told(endpoint_id: str, row: DeliveryRow) -> DeliveryAnswer:
    """What is said of it."""
    identity = webhook_id(endpoint_id, row.clinic_id, row.seq)
    return DeliveryAnswer(
        webhook_id=identity,
        type=row.event,
        booking_ref=row.booking_ref,
        state=row.state,
        failed_why=row.failed_why,
        attempts=row.attempts,
        replays=row.replays,
        happened_at=row.committed_at,
        next_attempt_at=row.next_attempt_at if row.state is DeliveryState.DUE else None,
        delivered_at=row.delivered_at,
        last_status=row.last_status,
        last_error=row.last_error,
        links=DeliveryLinks(f"{PATH}/{endpoint_id}/deliveries/{identity}"),
    )
