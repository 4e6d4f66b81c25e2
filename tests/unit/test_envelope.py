"""Sealed secrets open under the right master key, for the right purpose, and not otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from waiting_room.envelope import KEY_BYTES, CannotOpen, Envelope, NoMasterKey, envelope_of, master_key
from waiting_room.settings import Settings

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


@given(st.binary(max_size=200), st.text(max_size=50))
def test_what_is_sealed_opens_again(secret: bytes, about: str) -> None:
    envelope = Envelope(OLD)
    sealed = envelope.seal(secret, about)
    assert envelope.open(sealed, about) == secret
    assert len(secret) < 8 or secret not in sealed
    assert envelope.seal(secret, about) != sealed


def test_it_opens_nowhere_else() -> None:
    sealed = Envelope(OLD).seal(b"secret", "ep_1")
    with pytest.raises(CannotOpen):
        Envelope(OLD).open(sealed, "ep_2")
    before = REGISTRY.get_sample_value("waiting_room_master_key_unknown_total")
    assert before is not None, "told of from the start: from nothing to one is no increase"
    with pytest.raises(CannotOpen, match="not sealed under a master key that is known"):
        Envelope(NEW).open(sealed, "ep_1")
    assert REGISTRY.get_sample_value("waiting_room_master_key_unknown_total") == before + 1


@given(st.integers(0, 200))
def test_whatever_is_changed_it_does_not_open(at: int) -> None:
    sealed = bytearray(Envelope(OLD).seal(b"secret", "ep_1"))
    sealed[at % len(sealed)] ^= 1
    with pytest.raises(CannotOpen):
        Envelope(OLD).open(bytes(sealed), "ep_1")


def test_what_is_cut_off_does_not_open() -> None:
    sealed = Envelope(OLD).seal(b"secret", "ep_1")
    for length in range(len(sealed)):
        with pytest.raises(CannotOpen):
            Envelope(OLD).open(sealed[:length], "ep_1")


def test_a_retired_master_key_opens_until_all_is_sealed_anew() -> None:
    sealed = Envelope(OLD).seal(b"secret", "ep_1")
    rotating = Envelope(NEW, [OLD])
    assert rotating.open(sealed, "ep_1") == b"secret"
    renewed = rotating.renewed(sealed, "ep_1")
    assert renewed is not None
    assert Envelope(NEW).open(renewed, "ep_1") == b"secret"
    assert rotating.renewed(renewed, "ep_1") is None


def test_master_keys_are_made_of_enough_characters() -> None:
    keys = {master_key(text) for text in ("x" * 32, "y" * 32, "x" * 33)}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {KEY_BYTES}
    for text in ("", "hunter2", "x" * 31, "x" * 129):
        with pytest.raises(ValueError, match="must have 32 to 128 characters"):
            master_key(text)
    with pytest.raises(NoMasterKey, match="WAITING_ROOM_MASTER_KEY"):
        envelope_of(Settings())
