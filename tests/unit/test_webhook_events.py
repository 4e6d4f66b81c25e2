"""The catalogue: every public event is in it, described, with a schema that what is sent fits."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from jsonschema_rs import Draft202012Validator, meta

from tests.support.patients import VAULT
from tests.unit.test_webhook_message import delivery, event
from waiting_room.domain.appointment import PUBLIC_EVENTS, EventType
from waiting_room.domain.availability.rules import ClosureReason
from waiting_room.domain.booking_ref import is_clinic_id
from waiting_room.domain.delivery import DisabledReason
from waiting_room.messages import encode
from waiting_room.webhook_events import (
    CATALOGUE,
    CHOSEN,
    CLOSED,
    DISABLED,
    OF_CLOSURES,
    OF_ENDPOINTS,
    TEST,
    Closed,
    PayloadKind,
    payload_of_closure,
    payload_of_disabled,
    payload_of_test,
    schema_of,
)
from workers.webhooks.message import body_of

PATIENTS = {"patient", "contact", "locale"}


def test_every_public_event_is_in_the_catalogue_in_words_of_its_own() -> None:
    assert set(CHOSEN) == {*map(str, PUBLIC_EVENTS), CLOSED}
    assert set(CATALOGUE) == {*CHOSEN, TEST, DISABLED}
    descriptions = [kind.description for kind in CATALOGUE.values()]
    assert len(set(descriptions)) == len(descriptions)
    assert "See the booking." not in descriptions


@pytest.mark.parametrize("kind", sorted(PUBLIC_EVENTS))
@pytest.mark.parametrize("payload", PayloadKind)
def test_what_is_sent_fits_the_schema(kind: EventType, payload: PayloadKind) -> None:
    schema = schema_of(CATALOGUE[kind], payload)
    meta.validate(schema)
    record = encode(event(kind)).decode()
    body = json.loads(body_of(delivery(record=record, in_full=payload is PayloadKind.FULL), VAULT))
    assert Draft202012Validator(schema).is_valid(body)
    assert not Draft202012Validator(schema).is_valid({**body, "type": "another"})


def test_what_is_told_of_endpoints_fits_the_schema() -> None:
    at = datetime.now(UTC)
    for kind, body in (
        (TEST, payload_of_test("ep_1", at)),
        (DISABLED, payload_of_disabled("ep_1", DisabledReason.GONE, at)),
    ):
        assert Draft202012Validator(schema_of(CATALOGUE[kind], PayloadKind.THIN)).is_valid(json.loads(body))


@pytest.mark.parametrize("provider_ids", [None, ("0001-1",)])
def test_what_is_told_of_a_closure_fits_the_schema(provider_ids: tuple[str, ...] | None) -> None:
    at = datetime.now(UTC)
    body = payload_of_closure(Closed("0001", "c", provider_ids, at, at, ClosureReason.WEATHER), 1, at)
    assert Draft202012Validator(schema_of(CATALOGUE[CLOSED], PayloadKind.THIN)).is_valid(json.loads(body))


def test_thin_payloads_have_no_room_for_a_patient() -> None:
    for kind in CATALOGUE.values():
        thin = json.dumps(schema_of(kind, PayloadKind.THIN))
        assert not [name for name in PATIENTS if f'"{name}"' in thin]


def test_no_clinic_has_the_id_that_stands_for_endpoints() -> None:
    assert not is_clinic_id(OF_ENDPOINTS)
    assert not is_clinic_id(OF_CLOSURES)
