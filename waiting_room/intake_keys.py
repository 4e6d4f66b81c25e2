"""What bookings on their way to hold say of patients: sealed under a key that is younger than two days, and forgotten.

Ingress asks no database, so it knows no patient's key. Each process makes a key of its own, at random, a new one every
day, and appends it, wrapped under the master key, to ``intake.keys`` before it seals anything with it. Hold reads that
topic, opens what it reads, and seals it again under the patient's own key. The topic keeps its records for
KEPT; from then on nobody can open what was sealed, wherever it still stands: in Kafka, in dead letters, in copies.

    nonce (12) | ciphertext and tag, bound to the booking_ref

Nonces are counted (NIST SP 800-38D, 8.2.1): a key seals in the one process that made it, and nowhere else.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from waiting_room.envelope import KEY_BYTES, CannotOpen, Envelope
from waiting_room.messages import IntakeKeyRecord, Reader, Unreadable

FRESH: Final = timedelta(days=1)
"""A new key is made after this."""
USABLE: Final = timedelta(days=2)
"""Nothing is sealed under an older one."""
KEPT: Final = timedelta(days=9)
"""USABLE, and as long as booking.requests keeps a record."""

_FORGET_EVERY: Final = timedelta(minutes=10)
_NONCE: Final = 12
_ABOUT: Final = "intake key"
_read: Reader[IntakeKeyRecord] = Reader(IntakeKeyRecord)


class IntakeKey:
    """Opens; ``key_id`` stands beside what was sealed with it."""

    __slots__ = ("_aead", "key_id")

    def __init__(self, key_id: str, key: bytes) -> None:
        self.key_id = key_id
        self._aead = AESGCM(key)

    def open(self, sealed: bytes, booking_ref: str) -> bytes:
        """Raises CannotOpen."""
        try:
            return self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], booking_ref.encode())
        except (InvalidTag, ValueError) as error:
            raise CannotOpen("the sealed patient does not open") from error


class SealingKey(IntakeKey):
    """One that this process has made: it seals, too."""

    __slots__ = ("_sealed",)

    def __init__(self, key_id: str, key: bytes) -> None:
        super().__init__(key_id, key)
        self._sealed = count()

    def seal(self, patient: bytes, booking_ref: str) -> bytes:
        nonce = next(self._sealed).to_bytes(_NONCE)
        return nonce + self._aead.encrypt(nonce, patient, booking_ref.encode())


def make(envelope: Envelope, now: datetime) -> tuple[SealingKey, IntakeKeyRecord]:
    """A new key, and the record to append before it is used."""
    key, key_id = secrets.token_bytes(KEY_BYTES), secrets.token_hex(8)
    record = IntakeKeyRecord(key_id=key_id, made_at=now, wrapped=envelope.wrap(key, f"{_ABOUT} {key_id}"))
    return SealingKey(key_id, key), record


class IntakeKeys:
    """All that ``intake.keys`` holds, for whoever opens. Keys are forgotten here no later than there."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._records: dict[str, IntakeKeyRecord] = {}
        self._keys: dict[str, IntakeKey] = {}
        self._forgot_at = datetime.min.replace(tzinfo=UTC)

    def apply(self, key_id: str, value: bytes | None) -> None:
        """A record of the topic. One that cannot be read is nobody's key."""
        now = datetime.now(UTC)
        if now - self._forgot_at > _FORGET_EVERY:
            self._forget(now)
        try:
            record = _read(value)
        except Unreadable:
            return
        if record.made_at + KEPT >= now:
            self._records[record.key_id] = record

    def known(self, key_id: str | None) -> bool:
        return key_id in self._records

    def key(self, key_id: str, now: datetime) -> IntakeKey | None:
        """None if it is not there, any more or at all. Raises CannotOpen: its master key is not known here."""
        record = self._records.get(key_id)
        if record is None or record.made_at + KEPT < now:
            return None
        if (key := self._keys.get(key_id)) is None:
            unwrapped = self._envelope.unwrap(record.wrapped, f"{_ABOUT} {key_id}")
            key = self._keys[key_id] = IntakeKey(key_id, unwrapped)
        return key

    def _forget(self, now: datetime) -> None:
        self._forgot_at = now
        for key_id in [each for each, record in self._records.items() if record.made_at + KEPT < now]:
            del self._records[key_id]
            self._keys.pop(key_id, None)
