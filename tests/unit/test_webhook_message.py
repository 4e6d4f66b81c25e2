"""What an endpoint is sent: thin unless it chose otherwise, signed, and the same id for every attempt."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.endpoint import ENVELOPE
from tests.support.patients import VAULT
from waiting_room.domain.appointment import PUBLIC_EVENTS, EventType, Reason, Stage, Status
from waiting_room.messages import BookingEvent, Patient, encode
from waiting_room.store.webhooks import Delivery, Notice
from waiting_room.webhook_events import parse_webhook_id, payload_of_test
from waiting_room.webhook_signing import Signers, SigningKeys, new_keys, seal
from workers.webhooks.message import body_of, headers_of, id_of, notice_of

AT = datetime(2026, 11, 23, 8, 0, 0, 250_000, tzinfo=UTC)
KEYS = new_keys()
SIGNERS = Signers(ENVELOPE)
PATIENT_KEY, WRAPPED = VAULT.new_key()


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
        ticket=7,
    )


def delivery(*keys: SigningKeys, **changes: Any) -> Delivery:
    made = Delivery(
        endpoint_id="ep_1",
        clinic_id="0001",
        seq=42,
        booking_ref="0001-AAAA-BBBB-CCCC-DDDD",
        event="booking.rejected",
        attempts=0,
        lease_until=AT,
        url="https://x",
        in_full=False,
        failing=False,
        payload=None,
        age_seconds=0.0,
        record=encode(event(EventType.REJECTED)).decode(),
        sequence=3,
        patient=PATIENT_KEY.seal(Patient(id="patient-1", contact={"email": "a@b.example"})),
        patient_key=WRAPPED,
        sealed=tuple(seal(ENVELOPE, "ep_1", each).sealed for each in keys or (KEYS,)),
    )
    return made._replace(**changes)


def test_the_payload_says_what_happened_and_nothing_about_the_patient() -> None:
    body = body_of(delivery(), VAULT)
    assert json.loads(body) == {
        "type": "booking.rejected",
        "timestamp": "2026-11-23T08:00:00.250000Z",
        "data": {
            "booking_ref": "0001-AAAA-BBBB-CCCC-DDDD",
            "clinic_id": "0001",
            "sequence": 3,
            "clinic_sequence": 42,
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
    assert Stage.HELD not in body


def test_a_full_payload_names_the_patient_until_they_are_erased() -> None:
    data = json.loads(body_of(delivery(in_full=True), VAULT))["data"]
    assert data["patient"] == {"id": "patient-1", "contact": {"email": "a@b.example"}}
    assert (data["ticket"], data["sequence"]) == (7, 3)
    erased = json.loads(body_of(delivery(in_full=True, patient=None, patient_key=None), VAULT))["data"]
    assert erased == data | {"patient": None}


def test_what_is_told_of_an_endpoint_is_sent_as_it_is_kept() -> None:
    payload = payload_of_test("ep_1", AT)
    assert body_of(delivery(booking_ref=None, record=None, payload=payload), VAULT) == payload
    with pytest.raises(ValueError, match="archived"):
        body_of(delivery(record=None), VAULT)


@pytest.mark.parametrize("kind", EventType)
def test_only_public_events_are_told(kind: EventType) -> None:
    assert notice_of(event(kind)) == (Notice("0001", 42) if kind in PUBLIC_EVENTS else None)


def test_the_signature_is_the_one_the_independent_package_expects() -> None:
    headers = headers_of(delivery(), '{"ö": 1}', SIGNERS, datetime.now(UTC))
    Webhook(KEYS.secret).verify('{"ö": 1}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(KEYS.secret).verify('{"ö": 2}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(KEYS.secret).verify('{"ö": 1}', headers | {"webhook-id": "another"})


def test_whoever_has_the_public_key_can_verify_and_nobody_else_could_have_signed() -> None:
    headers = headers_of(delivery(), "{}", SIGNERS, AT)
    assert verifies_v1a(KEYS.public_key, headers, "{}")
    assert not verifies_v1a(KEYS.public_key, headers, "[]")
    assert not verifies_v1a(new_keys().public_key, headers, "{}")


def test_while_a_secret_is_rotated_the_old_one_still_verifies() -> None:
    old = new_keys()
    headers = headers_of(delivery(KEYS, old), "{}", SIGNERS, datetime.now(UTC))
    for keys in (KEYS, old):
        Webhook(keys.secret).verify("{}", headers)
        assert verifies_v1a(keys.public_key, headers, "{}")
    assert [each.partition(",")[0] for each in headers["webhook-signature"].split()] == ["v1", "v1a", "v1", "v1a"]


def verifies_v1a(public_key: str, headers: dict[str, str], body: str) -> bool:
    """By the specification and nothing of ours."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    for each in headers["webhook-signature"].split():
        version, _, signature = each.partition(",")
        if version == "v1a":
            try:
                key.verify(base64.b64decode(signature), content)
                return True
            except InvalidSignature:
                continue
    return False


def test_the_id_names_the_event_and_the_endpoint_and_never_changes() -> None:
    assert id_of(delivery()) == id_of(delivery(attempts=3, lease_until=datetime.now(UTC)))
    assert id_of(delivery()) != id_of(delivery(seq=43))
    assert headers_of(delivery(), "{}", SIGNERS, AT)["webhook-id"] == "0001-42-ep_1"
    assert parse_webhook_id("0001-42-ep_1-x") == ("ep_1-x", "0001", 42)


@pytest.mark.parametrize("text", ["", "0001", "0001-x-ep", "0001-4", "0001--ep", "0001-٣-ep"])
def test_what_is_no_id_is_none(text: str) -> None:
    assert parse_webhook_id(text) is None


@pytest.mark.parametrize("secret", ["whsec_", "whsec_A", "whsec_é"])
def test_a_secret_that_is_none_is_refused_in_words(secret: str) -> None:
    with pytest.raises(ValueError, match="secret cannot be used"):
        headers_of(delivery(SigningKeys(secret, KEYS.private_key)), "{}", SIGNERS, AT)


def test_keys_of_another_endpoint_do_not_open() -> None:
    with pytest.raises(ValueError, match="does not open"):
        headers_of(delivery(endpoint_id="ep_2"), "{}", Signers(ENVELOPE), AT)
    with pytest.raises(ValueError, match="no secret"):
        headers_of(delivery(sealed=()), "{}", SIGNERS, AT)
