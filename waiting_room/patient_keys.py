"""What tables keep of patients: sealed under a key of each patient's own, so that forgetting the key erases the data.

A patient is an app's: who books by two apps is two patients. Tables know them by a tag, a keyed hash of the app and its
id for them, where rows must be found; the id itself is among what is sealed. AES-256-GCM (NIST SP 800-38D) with random
96-bit nonces; the key is wrapped under the master key (``envelope``) in ``patient_keys``, and nowhere else.

    version (1) | key's name (4) | nonce (12) | ciphertext and tag
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from waiting_room.commands import Patient
from waiting_room.envelope import KEY_BYTES, CannotOpen, Envelope

if TYPE_CHECKING:
    from waiting_room.settings import Settings

_ABOUT: Final = "patient"
_VERSION: Final = b"\x01"
_NAME, _NONCE = 4, 12
_HEAD: Final = 1 + _NAME + _NONCE
_BOUND: Final = b"patient"
_PLAIN: Final = b"{"
"""What was stored before there were keys: JSON. ``patients seal`` leaves none."""

_TAG_BYTES: Final = 16
_TAG = re.compile(r"h1\.[A-Za-z0-9_-]{22}", re.ASCII)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Patient).decode


class NoPatientSecret(Exception):
    """Patients are to be found, and the environment has no secret that their tags are made with."""


class PatientTags:
    """Tags of patients, and of what was asked for them: keyed hashes, so that nobody without the secret can guess."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._request_key = sha256(b"waiting room requests " + secret).digest()

    def of(self, app_id: str, patient_id: str) -> str:
        """25 characters of HMAC-SHA256; the length keeps two pairs of one spelling apart."""
        digest = hmac.digest(self._secret, f"patient {len(app_id)} {app_id} {patient_id}".encode(), "sha256")
        return "h1." + urlsafe_b64encode(digest[:_TAG_BYTES])[:22].decode()

    def of_request(self, canonical: bytes) -> bytes:
        """32 bytes that tell one request from another, and nothing of what it says. BLAKE2b: each request costs one."""
        return blake2b(canonical, digest_size=32, key=self._request_key).digest()


def is_tag(text: str) -> bool:
    """Whether it is shaped like one. No app's id of a patient is, or it would be taken for one."""
    return _TAG.fullmatch(text) is not None


def tags_of(settings: Settings) -> PatientTags:
    """With this process's secret. Raises NoPatientSecret."""
    if settings.patient_secret is None:
        raise NoPatientSecret("WAITING_ROOM_PATIENT_SECRET is not set: patients cannot be found without it")
    return PatientTags(settings.patient_secret.get_secret_value().encode())


class PatientKey:
    """One patient's, unwrapped."""

    __slots__ = ("_aead", "_name")

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._name = sha256(b"waiting room patient key " + key).digest()[:_NAME]

    def seal(self, patient: Patient) -> bytes:
        return self.seal_json(_encode(patient))

    def seal_json(self, patient: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return b"".join((_VERSION, self._name, nonce, self._aead.encrypt(nonce, patient, _BOUND)))

    def open(self, sealed: bytes) -> Patient | None:
        """None if it was sealed under a key that was forgotten since. Raises CannotOpen."""
        if sealed[:1] != _VERSION or len(sealed) < _HEAD:
            raise CannotOpen("this is no sealed patient")
        if sealed[1 : 1 + _NAME] != self._name:
            return None
        try:
            return _decode(self._aead.decrypt(sealed[1 + _NAME : _HEAD], sealed[_HEAD:], _BOUND))
        except (InvalidTag, msgspec.MsgspecError) as error:
            raise CannotOpen("the sealed patient does not open") from error


class Vault:
    """Makes patients' keys and unwraps them, with the master keys of this process."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope

    def new_key(self) -> tuple[PatientKey, bytes]:
        """A key and how it is stored."""
        key = secrets.token_bytes(KEY_BYTES)
        return PatientKey(key), self._envelope.wrap(key, _ABOUT)

    def key(self, wrapped: bytes) -> PatientKey:
        """Raises CannotOpen: its master key is not known here."""
        return PatientKey(self._envelope.unwrap(wrapped, _ABOUT))

    def rewrapped(self, wrapped: bytes) -> bytes | None:
        """Under the current master key; None if it is already. Raises CannotOpen."""
        return self._envelope.rewrapped(wrapped, _ABOUT)

    @property
    def mark(self) -> bytes:
        """How keys begin that are wrapped under the current master key."""
        return self._envelope.mark

    def open(self, wrapped: bytes | None, sealed: bytes | None) -> Patient | None:
        """The patient, from their key and what a booking keeps of them; None if erased. Raises CannotOpen."""
        if sealed is None:
            return None
        if sealed[:1] == _PLAIN:
            try:
                return _decode(sealed)
            except msgspec.MsgspecError as error:
                raise CannotOpen("what is stored of the patient cannot be read") from error
        return None if wrapped is None else self.key(wrapped).open(sealed)
