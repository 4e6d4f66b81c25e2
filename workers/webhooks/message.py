"""What an endpoint is sent: a JSON body, and headers that sign it by the Standard Webhooks specification."""

from __future__ import annotations

from datetime import datetime

from waiting_room.domain.appointment import PUBLIC_EVENTS
from waiting_room.messages import BookingEvent
from waiting_room.patient_keys import Vault
from waiting_room.store.webhooks import Delivery, Notice
from waiting_room.webhook_events import PayloadKind, render, webhook_id
from waiting_room.webhook_signing import Signers


def notice_of(event: BookingEvent) -> Notice | None:
    """What to tell of this event; None if it is not public."""
    return Notice(event.clinic_id, event.seq) if event.event in PUBLIC_EVENTS else None


def id_of(delivery: Delivery) -> str:
    """The same for every attempt, so that a receiver can tell repeats."""
    return webhook_id(delivery.endpoint_id, delivery.clinic_id, delivery.seq)


def body_of(delivery: Delivery, vault: Vault) -> str:
    """Raises ValueError if what is stored cannot be told."""
    if delivery.payload is not None:
        return delivery.payload
    if delivery.record is None:
        raise ValueError("its booking is archived")
    if not delivery.in_full:
        return render(delivery.record, delivery.sequence, PayloadKind.THIN)
    patient = vault.open(delivery.patient_key, delivery.patient)
    return render(delivery.record, delivery.sequence, PayloadKind.FULL, patient)


def headers_of(delivery: Delivery, body: str, signers: Signers, now: datetime) -> dict[str, str]:
    """Headers of one attempt at ``now``. Raises ValueError if the endpoint's keys cannot be used."""
    identity = id_of(delivery)
    return {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signers.of(delivery.endpoint_id, delivery.sealed).sign(identity, now, body),
    }
