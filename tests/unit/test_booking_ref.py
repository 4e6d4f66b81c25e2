"""booking_ref: derived, told apart from an invented one, and read as a person writes it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waiting_room.domain.booking_ref import (
    ALPHABET,
    NotARef,
    RefSecrets,
    base32,
    clinic_id_of_number,
    clinic_of,
    is_clinic_id,
    key_hash,
    normalise,
)

SECRETS = RefSecrets(b"the secret that is used today 123", (b"one that was used before that 123",))
numbers = st.integers(0, (1 << 20) - 1)
keys = st.text(min_size=1, max_size=64)


@given(numbers, keys, keys)
def test_a_ref_is_canonical_begins_with_its_clinic_and_is_known_again(number: int, app: str, key: str) -> None:
    clinic = clinic_id_of_number(number)
    ref = SECRETS.derive(clinic, app, key)
    assert re.fullmatch(rf"([{ALPHABET}]{{4}}-){{4}}[{ALPHABET}]{{4}}", ref)
    assert SECRETS.derive(clinic, app, key) == ref == normalise(ref)
    assert clinic_of(ref) == clinic
    assert SECRETS.belongs_to(ref, app)


@settings(derandomize=True)  # a guess is right once in 2**20 tries
@given(numbers, keys, keys, keys)
def test_another_apps_ref_is_not_ones_own(number: int, app: str, other: str, key: str) -> None:
    ref = SECRETS.derive(clinic_id_of_number(number), app, key)
    assert SECRETS.belongs_to(ref, other) == (app == other)


@settings(derandomize=True)
@given(numbers, keys, st.integers(0, 19), st.sampled_from(ALPHABET))
def test_a_ref_with_one_character_changed_is_nobodys(number: int, key: str, at: int, character: str) -> None:
    plain = SECRETS.derive(clinic_id_of_number(number), "app", key).replace("-", "")
    forged = normalise(plain[:at] + character + plain[at + 1 :])
    assert SECRETS.belongs_to(forged, "app") == (plain[at] == character)


def test_apps_and_keys_cannot_be_shifted_into_one_another() -> None:
    assert key_hash("ab", "c") != key_hash("a", "bc")
    assert key_hash("a", "b") == key_hash("a", "b")
    assert len(key_hash("a", "b")) == 32


def test_the_same_key_has_another_ref_at_another_clinic_and_under_another_secret() -> None:
    assert SECRETS.derive("0001", "app", "key") != SECRETS.derive("0002", "app", "key")
    assert RefSecrets(b"x" * 32).derive("0001", "app", "key") != SECRETS.derive("0001", "app", "key")


def test_refs_of_a_retired_secret_are_still_ours() -> None:
    before = RefSecrets(SECRETS.retired[0])
    ref = before.derive("0001", "app", "key")
    assert SECRETS.belongs_to(ref, "app")
    assert not before.belongs_to(SECRETS.derive("0001", "app", "key"), "app")


def test_the_derivation_never_changes() -> None:
    """A ref is printed, stored and sent to clinics: a release that derives another one books twice on a retry."""
    assert SECRETS.derive("0001", "petcare", "5f3c") == "0001-G7M7-4YYF-HWKE-DDB9"


@pytest.mark.parametrize("written", ["000A-7K2M-Q8ZT-3WN0-H1V1", "000a 7k2m q8zt 3wno hiVL", "OOOA7K2MQ8ZT3WNOHLVI"])
def test_what_a_person_writes_is_read(written: str) -> None:
    assert normalise(written) == "000A-7K2M-Q8ZT-3WN0-H1V1"


@pytest.mark.parametrize(
    "text", ["", "000A", "000A-7K2M-Q8ZT-3WN0-H1VU", "000A-7K2M-Q8ZT-3WN0-H1V12", "000A-7K2M-Q8ZT-3WN0-H1V²", "ı" * 20]
)
def test_other_text_is_no_ref(text: str) -> None:
    with pytest.raises(NotARef):
        normalise(text)


@given(st.text(max_size=30))
def test_any_text_is_a_ref_or_not_one(text: str) -> None:
    try:
        ref = normalise(text)
    except NotARef:
        return
    assert normalise(ref) == ref
    assert is_clinic_id(clinic_of(ref))


@given(numbers)
def test_clinics_have_ids_of_four_characters_in_order(number: int) -> None:
    clinic = clinic_id_of_number(number)
    assert is_clinic_id(clinic)
    assert number == 0 or clinic_id_of_number(number - 1) < clinic


@pytest.mark.parametrize("number", [-1, 1 << 20])
def test_there_are_a_million_clinics_and_no_more(number: int) -> None:
    with pytest.raises(ValueError, match="0 to 1048575"):
        clinic_id_of_number(number)


@pytest.mark.parametrize("text", ["", "001", "00011", "000u", "000I", "0 01", "000a"])
def test_other_text_is_no_clinic_id(text: str) -> None:
    assert not is_clinic_id(text)


def test_higher_bits_are_dropped() -> None:
    assert base32(1 << 20, 4) == "0000"
