"""What an endpoint is sent: thin, signed, and the same id for every attempt."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from waiting_room.domain.appointment import PUBLIC_EVENTS, EventType, Reason, Stage, Status
from waiting_room.messages import BookingEvent
from waiting_room.store.webhooks import Delivery
from workers.webhooks.message import headers_of, notice_of, webhook_id

AT = datetime(2026, 11, 23, 8, 0, 0, 250_000, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four b").decode()


def event(kind: EventType) -> BookingEvent:
    return BookingEvent(
        clinic_id="0001",
        seq=42,
        booking_ref="0001-AAAA-BBBB-CCCC-DDDD",
        app_id="app",
        event=kind,
        at=AT,
        status=Status.REJECTED,
        row_version=3,
        revision=1,
        reason=Reason.SLOT_TAKEN,
        service_type="consultation",
        start_at=AT,
    )


def delivery(secret: str = SECRET, seq: int = 42) -> Delivery:
    return Delivery(
        "ep_1", "0001", seq, "0001-AAAA-BBBB-CCCC-DDDD", "booking.rejected", '{"ö": 1}', 0, AT, "https://x", secret, 0.0
    )


def test_the_payload_says_what_happened_and_nothing_about_the_patient() -> None:
    notice = notice_of(event(EventType.REJECTED))
    assert notice is not None
    assert json.loads(notice.payload) == {
        "type": "booking.rejected",
        "timestamp": "2026-11-23T08:00:00.250000Z",
        "data": {
            "booking_ref": "0001-AAAA-BBBB-CCCC-DDDD",
            "clinic_id": "0001",
            "sequence": 42,
            "status": "rejected",
            "stage": None,
            "reason": "slot_taken",
            "provider_id": None,
            "service_type": "consultation",
            "start_at": "2026-11-23T08:00:00.250000Z",
            "end_at": None,
            "revision": 1,
        },
    }
    assert (notice.clinic_id, notice.app_id, notice.seq, notice.committed_at) == ("0001", "app", 42, AT)
    assert Stage.HELD not in notice.payload


@pytest.mark.parametrize("kind", EventType)
def test_only_public_events_are_told(kind: EventType) -> None:
    assert (notice_of(event(kind)) is not None) == (kind in PUBLIC_EVENTS)


def test_the_signature_is_the_one_the_independent_package_expects() -> None:
    now = datetime.now(UTC)
    headers = headers_of(delivery(), now)
    Webhook(SECRET).verify('{"ö": 1}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify('{"ö": 2}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify('{"ö": 1}', headers | {"webhook-id": "another"})


def test_the_id_names_the_event_and_the_endpoint_and_never_changes() -> None:
    assert webhook_id(delivery()) == webhook_id(delivery()._replace(attempts=3, lease_until=datetime.now(UTC)))
    assert webhook_id(delivery()) != webhook_id(delivery(seq=43))
    assert headers_of(delivery(), AT)["webhook-id"] == "0001-42-ep_1"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_A", "whsec_é"])
def test_a_secret_that_is_none_is_refused_in_words(secret: str) -> None:
    with pytest.raises(ValueError, match="secret cannot be used"):
        headers_of(delivery(secret), AT)
