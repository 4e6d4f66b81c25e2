"""Envelope encryption of what is kept for us: each secret under a key of its own, that one under a master key.

The master key comes from the environment and is in no table; retired ones still open what was sealed under them until
it is sealed anew. AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces, bound to what the secret is for, so that a
sealed secret copied to another row does not open there.

    version (1) | master key's name (4) | nonce (12) | wrapped key (48) | nonce (12) | ciphertext and tag

A key that is kept for many secrets, such as a patient's, is wrapped alone: the part up to the second nonce.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from waiting_room.telemetry import metrics

if TYPE_CHECKING:
    from waiting_room.settings import Settings

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NAME, _NONCE, _WRAPPED = 4, 12, KEY_BYTES + 16
_KEY: Final = 1 + _NAME + _NONCE + _WRAPPED
_HEAD: Final = _KEY + _NONCE


class NoMasterKey(Exception):
    """Secrets are to be sealed or opened, and the environment has no master key."""


class CannotOpen(ValueError):
    """What is sealed was changed, belongs elsewhere, or its master key is not known here."""


class UnknownMasterKey(CannotOpen):
    """The last of these: nothing is wrong with what is sealed, and everything with this process's environment."""


def master_key(text: str) -> bytes:
    """The key that a setting's random characters stand for (HKDF, RFC 5869). Raises ValueError."""
    if not 32 <= len(text) <= 128:
        raise ValueError("must have 32 to 128 characters")
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"waiting room master key").derive(text.encode())


def envelope_of(settings: Settings) -> Envelope:
    """With this process's master keys. Raises NoMasterKey."""
    if settings.master_key is None:
        raise NoMasterKey("WAITING_ROOM_MASTER_KEY is not set: nothing can be sealed or opened without it")
    retired = filter(None, settings.master_keys_retired.get_secret_value().split(","))
    return Envelope(master_key(settings.master_key.get_secret_value()), [master_key(each) for each in retired])


class Envelope:
    """Seals under ``master``; opens what was sealed under it or a retired one."""

    def __init__(self, master: bytes, retired: Sequence[bytes] = ()) -> None:
        self._current = _name(master)
        self._masters = {_name(key): AESGCM(key) for key in (*retired, master)}

    def seal(self, secret: bytes, about: str) -> bytes:
        """``about`` says what it is for; only with the same it opens again."""
        key, bound = secrets.token_bytes(KEY_BYTES), about.encode()
        nonce = secrets.token_bytes(_NONCE)
        return b"".join(
            (self._wrapped(key, bound), nonce, AESGCM(key).encrypt(nonce, secret, bound)),
        )

    def open(self, sealed: bytes, about: str) -> bytes:
        """Raises CannotOpen."""
        bound = about.encode()
        key = self._unwrapped(sealed, bound)
        try:
            return AESGCM(key).decrypt(sealed[_KEY:_HEAD], sealed[_HEAD:], bound)
        except (InvalidTag, ValueError) as error:  # ValueError: it ends before its nonce does
            raise CannotOpen("the sealed secret does not open") from error

    def renewed(self, sealed: bytes, about: str) -> bytes | None:
        """The same secret under the current master key; None if it is already. Raises CannotOpen."""
        if sealed[1 : 1 + _NAME] == self._current:
            return None
        bound = about.encode()
        return self._wrapped(self._unwrapped(sealed, bound), bound) + sealed[_KEY:]

    def wrap(self, key: bytes, about: str) -> bytes:
        """A key of KEY_BYTES alone, for whoever seals with it. ``about`` as in ``seal``."""
        return self._wrapped(key, about.encode())

    def unwrap(self, wrapped: bytes, about: str) -> bytes:
        """Raises CannotOpen."""
        return self._unwrapped(wrapped, about.encode())

    def rewrapped(self, wrapped: bytes, about: str) -> bytes | None:
        """The same key under the current master key; None if it is already. Raises CannotOpen."""
        if wrapped[1 : 1 + _NAME] == self._current:
            return None
        return self.wrap(self.unwrap(wrapped, about), about)

    @property
    def mark(self) -> bytes:
        """How everything begins that is sealed or wrapped under the current master key."""
        return _VERSION + self._current

    def _wrapped(self, key: bytes, bound: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return b"".join((_VERSION, self._current, nonce, self._masters[self._current].encrypt(nonce, key, bound)))

    def _unwrapped(self, sealed: bytes, bound: bytes) -> bytes:
        if sealed[:1] != _VERSION or len(sealed) < _KEY:
            raise CannotOpen("this is nothing that was sealed under a master key")
        master = self._masters.get(sealed[1 : 1 + _NAME])
        if master is None:
            metrics.MASTER_KEY_UNKNOWN.inc()
            raise UnknownMasterKey("not sealed under a master key that is known here")
        at = 1 + _NAME
        try:
            return master.decrypt(sealed[at : at + _NONCE], sealed[at + _NONCE : _KEY], bound)
        except InvalidTag as error:
            raise CannotOpen("the sealed secret does not open") from error


def _name(master: bytes) -> bytes:
    return sha256(b"waiting room master key " + master).digest()[:_NAME]
