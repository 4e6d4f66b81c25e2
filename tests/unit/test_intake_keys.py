"""Keys of bookings on their way: they open while they are young, and nothing does when they are forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from waiting_room import topics
from waiting_room.envelope import CannotOpen, Envelope, UnknownMasterKey, master_key
from waiting_room.intake_keys import FRESH, KEPT, USABLE, IntakeKeys, make
from waiting_room.messages import encode

REF, OTHER_REF = "0001-7K2M-Q8ZT-3WNC-H5VD", "0001-7K2M-Q8ZT-3WNC-H5VE"
MASTER = master_key("m" * 32)
ENVELOPE = Envelope(MASTER)


def test_hold_opens_what_ingress_has_sealed_for_that_booking_and_no_other() -> None:
    key, record = make(ENVELOPE, datetime.now(UTC))
    keys = IntakeKeys(ENVELOPE)
    assert not keys.known(key.key_id)
    keys.apply(key.key_id, encode(record))
    sealed = key.seal(b'{"id":"anna"}', REF)
    assert b"anna" not in sealed
    found = keys.key(key.key_id, datetime.now(UTC))
    assert found is not None
    assert found.open(sealed, REF) == b'{"id":"anna"}'
    for wrong, ref in ((sealed, OTHER_REF), (sealed[:-1], REF), (b"", REF)):
        with pytest.raises(CannotOpen):
            found.open(wrong, ref)


def test_a_key_is_forgotten_also_by_those_who_run_for_long() -> None:
    now = datetime.now(UTC)
    old, record = make(ENVELOPE, now - KEPT + timedelta(minutes=1))
    keys = IntakeKeys(ENVELOPE)
    keys.apply(old.key_id, encode(record))
    assert keys.key(old.key_id, now) is not None
    assert keys.key(old.key_id, now + timedelta(minutes=2)) is None
    ancient, record = make(ENVELOPE, now - KEPT - timedelta(minutes=1))
    keys.apply(ancient.key_id, encode(record))
    assert not keys.known(ancient.key_id)


def test_a_record_that_cannot_be_read_is_nobodys_key() -> None:
    keys = IntakeKeys(ENVELOPE)
    for value in (None, b"", b'{"type": "intake_key"}'):
        keys.apply("broken", value)
    assert keys.key("broken", datetime.now(UTC)) is None


def test_want_of_the_master_key_is_no_want_of_the_key() -> None:
    key, record = make(Envelope(master_key("o" * 32)), datetime.now(UTC))
    keys = IntakeKeys(ENVELOPE)
    keys.apply(key.key_id, encode(record))
    with pytest.raises(UnknownMasterKey):
        keys.key(key.key_id, datetime.now(UTC))


def test_no_two_patients_are_sealed_with_one_nonce_and_who_only_opens_cannot_seal() -> None:
    key, record = make(ENVELOPE, datetime.now(UTC))
    assert len({key.seal(b"{}", REF)[:12] for _ in range(1_000)}) == 1_000
    opened = IntakeKeys(ENVELOPE)
    opened.apply(key.key_id, encode(record))
    assert not hasattr(opened.key(key.key_id, datetime.now(UTC)), "seal")


def test_a_key_outlives_what_was_sealed_with_it_in_booking_requests_and_not_by_much() -> None:
    kept = {topic.name: timedelta(milliseconds=int(topic.config.get("retention.ms", "0"))) for topic in topics.TOPICS}
    assert FRESH < USABLE
    assert USABLE + kept[topics.BOOKING_REQUESTS] == KEPT == kept[topics.INTAKE_KEYS]
    [keys] = [topic for topic in topics.TOPICS if topic.name == topics.INTAKE_KEYS]
    assert int(keys.config["segment.ms"]) <= 3_600_000, "or Kafka keeps a key for as long as its segment"
