"""What an endpoint receives: a thin JSON body without patient data, signed by the Standard Webhooks specification.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import msgspec
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from waiting_room.domain.appointment import PUBLIC_EVENTS, EventType, Reason, Stage, Status
from waiting_room.messages import BookingEvent
from waiting_room.store.webhooks import Delivery, Notice


class BookingData(msgspec.Struct, frozen=True, kw_only=True):
    """The booking after the event; ``sequence`` orders the events of a clinic."""

    booking_ref: str
    clinic_id: str
    sequence: int
    status: Status
    stage: Stage | None
    reason: Reason | None
    provider_id: str | None
    service_type: str | None
    start_at: datetime | None
    end_at: datetime | None
    revision: int


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    type: EventType
    timestamp: datetime
    data: BookingData


_encode = msgspec.json.Encoder().encode


def notice_of(event: BookingEvent) -> Notice | None:
    """What to tell of this event; None if it is not public."""
    if event.event not in PUBLIC_EVENTS:
        return None
    payload = Payload(
        type=event.event,
        timestamp=event.at,
        data=BookingData(
            booking_ref=event.booking_ref,
            clinic_id=event.clinic_id,
            sequence=event.seq,
            status=event.status,
            stage=event.stage,
            reason=event.reason,
            provider_id=event.provider_id,
            service_type=event.service_type,
            start_at=event.start_at,
            end_at=event.end_at,
            revision=event.revision,
        ),
    )
    return Notice(
        event.clinic_id,
        event.app_id,
        event.seq,
        event.booking_ref,
        event.event,
        _encode(payload).decode(),
        event.at,
    )


def webhook_id(delivery: Delivery) -> str:
    """The same for every attempt, so that a receiver can tell repeats."""
    return f"{delivery.clinic_id}-{delivery.seq}-{delivery.endpoint_id}"


def headers_of(delivery: Delivery, now: datetime) -> dict[str, str]:
    """Headers of one attempt at ``now``. Raises ValueError if the endpoint's secret is not one."""
    identity = webhook_id(delivery)
    return {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": _signer(delivery.secret).sign(identity, now, delivery.payload),
    }


@lru_cache(maxsize=4_096)
def _signer(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise ValueError("the endpoint's secret cannot be used") from error
