"""Patients' data under a key of each one's own: it opens with that key, whatever the master key is by then."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from waiting_room.envelope import CannotOpen, Envelope, UnknownMasterKey, master_key
from waiting_room.messages import Patient
from waiting_room.patient_keys import NoPatientSecret, PatientTags, Vault, is_tag, tags_of
from waiting_room.settings import Settings

ANNA = Patient(id="anna", contact={"email": "anna@patients.example"}, locale="de")
OLD, NEW = master_key("o" * 32), master_key("n" * 32)
VAULT = Vault(Envelope(OLD))
TAGS = PatientTags(b"a secret of thirty-two characters")


def test_a_patient_opens_with_their_key_and_is_not_to_be_seen_without() -> None:
    key, wrapped = VAULT.new_key()
    sealed = key.seal(ANNA)
    assert VAULT.open(wrapped, sealed) == ANNA
    assert b"anna" not in sealed
    assert sealed != key.seal(ANNA), "the same patient twice must not look the same"


def test_who_was_forgotten_does_not_open() -> None:
    key, _ = VAULT.new_key()
    sealed = key.seal(ANNA)
    _, of_a_later_booking = VAULT.new_key()
    assert VAULT.open(None, sealed) is None
    assert VAULT.open(of_a_later_booking, sealed) is None
    assert VAULT.open(of_a_later_booking, None) is None


def test_what_was_changed_is_refused() -> None:
    key, wrapped = VAULT.new_key()
    sealed = key.seal(ANNA)
    for changed in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:10], b"", b"\x02" + sealed[1:], b"{no JSON"):
        with pytest.raises(CannotOpen):
            VAULT.open(wrapped, changed)
    with pytest.raises(CannotOpen):
        VAULT.open(wrapped[:20], sealed)


def test_under_a_new_master_key_everything_opens_once_its_keys_are_wrapped_anew() -> None:
    key, wrapped = VAULT.new_key()
    sealed = key.seal(ANNA)
    both, only_new = Vault(Envelope(NEW, [OLD])), Vault(Envelope(NEW))
    assert both.open(wrapped, sealed) == ANNA
    with pytest.raises(UnknownMasterKey):
        only_new.open(wrapped, sealed)
    rewrapped = both.rewrapped(wrapped)
    assert rewrapped is not None
    assert rewrapped.startswith(both.mark)
    assert not wrapped.startswith(both.mark)
    assert both.rewrapped(rewrapped) is None
    assert only_new.open(rewrapped, sealed) == ANNA


def test_what_was_stored_before_there_were_keys_is_read() -> None:
    assert VAULT.open(None, b'{"id": "anna", "contact": {"email": "anna@patients.example"}, "locale": "de"}') == ANNA


def test_a_tag_finds_a_patient_of_an_app_and_tells_nothing_of_them() -> None:
    tag = TAGS.of("app", "anna")
    assert tag == TAGS.of("app", "anna")
    assert is_tag(tag)
    assert not is_tag("anna")
    others = {
        TAGS.of("other", "anna"),
        TAGS.of("app", "ben"),
        TAGS.of("app a", "nna"),
        PatientTags(b"x").of("app", "anna"),
    }
    assert len(others | {tag}) == 5
    assert TAGS.of_request(b"{}") != TAGS.of_request(b"[]") != PatientTags(b"x").of_request(b"[]")


def test_without_a_secret_nobody_is_found() -> None:
    with pytest.raises(NoPatientSecret, match="WAITING_ROOM_PATIENT_SECRET"):
        tags_of(Settings(patient_secret=None))
    given = Settings(patient_secret=SecretStr("a secret of thirty-two characters"))
    assert tags_of(given).of("app", "anna") == TAGS.of("app", "anna")
    with pytest.raises(ValueError, match="32 characters"):
        Settings(patient_secret=SecretStr("short"))
