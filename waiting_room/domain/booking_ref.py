"""booking_ref: the public reference of a booking, derived and never looked up.

``000A-7K2M-Q8ZT-3WNC-H5VD``: the clinic's id (4 characters), a keyed hash of (app, idempotency key) (12) and
a keyed check that binds the app (4), in Crockford base32 (5 bits a character; https://www.crockford.com/base32.html).

Every ingress derives the same ref for a retry, knows the clinic (and so the partition) of a ref it never saw,
and tells an invented or another app's ref from its own. A guess passes the check once in 2**20 tries and then
meets no row.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import blake2b

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans("OILoil", "011011")
_VALUE = {character: value for value, character in enumerate(ALPHABET)}
_TWO = [a + b for a in ALPHABET for b in ALPHABET]

CLINIC_CHARACTERS, HASH_CHARACTERS, CHECK_CHARACTERS = 4, 12, 4
_LENGTH = CLINIC_CHARACTERS + HASH_CHARACTERS + CHECK_CHARACTERS


class NotARef(ValueError):
    """The text is not shaped like a booking_ref."""


def base32(number: int, characters: int) -> str:
    """``number`` in exactly ``characters`` Crockford characters; its higher bits are dropped."""
    text = ""
    for _ in range(0, characters, 2):
        text = _TWO[number & 1023] + text
        number >>= 10
    return text[-characters:]


def clinic_id_of_number(number: int) -> str:
    """The id of the ``number``-th clinic, 0 to 1,048,575."""
    if not 0 <= number < 1 << (5 * CLINIC_CHARACTERS):
        raise ValueError(f"a clinic's number is 0 to 1048575, not {number}")
    return base32(number, CLINIC_CHARACTERS)


def number_of_clinic(clinic_id: str) -> int:
    """The reverse of ``clinic_id_of_number``. Raises KeyError if it is not a clinic id."""
    number = 0
    for character in clinic_id:
        number = number << 5 | _VALUE[character]
    return number


def is_clinic_id(text: str) -> bool:
    """Whether ``text`` is a clinic id: 4 Crockford characters in upper case."""
    return len(text) == CLINIC_CHARACTERS and all(character in _VALUE for character in text)


def normalise(text: str) -> str:
    """The canonical form of what a person typed: upper case, O read as 0, I and L as 1, groups of four.

    Raises NotARef.
    """
    plain = text.replace("-", "").replace(" ", "").translate(_READ_AS).upper()
    if len(plain) != _LENGTH or any(character not in _VALUE for character in plain):
        raise NotARef(f"a booking_ref has {_LENGTH} characters of {ALPHABET}, in groups of four")
    return "-".join(plain[at : at + 4] for at in range(0, _LENGTH, 4))


def clinic_of(ref: str) -> str:
    """The clinic of a canonical ref."""
    return ref[:CLINIC_CHARACTERS]


def key_hash(app_id: str, idempotency_key: str) -> bytes:
    """What the database knows an idempotency key by: 32 bytes, the same under every ref secret."""
    return blake2b(
        app_id.encode() + b"\0" + idempotency_key.encode(), digest_size=32, person=b"idempotency-key"
    ).digest()


@dataclass(frozen=True, slots=True)
class RefSecrets:
    """Derives refs under the current secret and recognises those of retired ones (each 16 to 64 bytes)."""

    current: bytes
    retired: tuple[bytes, ...] = ()

    def derive(self, clinic_id: str, app_id: str, idempotency_key: str) -> str:
        """The ref of (clinic, app, key); canonical."""
        return self.of_hash(clinic_id, app_id, key_hash(app_id, idempotency_key))

    def of_hash(self, clinic_id: str, app_id: str, hashed: bytes) -> str:
        """The same, of the key's ``key_hash``."""
        digest = blake2b(hashed, digest_size=8, key=self.current, person=b"ref-hash").digest()
        body = clinic_id + base32(int.from_bytes(digest), HASH_CHARACTERS)
        plain = body + _check(self.current, body, app_id)
        return f"{plain[:4]}-{plain[4:8]}-{plain[8:12]}-{plain[12:16]}-{plain[16:]}"

    def belongs_to(self, ref: str, app_id: str) -> bool:
        """Whether this canonical ref was made by us for this app; takes the same time whatever differs."""
        plain = ref.replace("-", "")
        body, check = plain[:-CHECK_CHARACTERS], plain[-CHECK_CHARACTERS:]
        matches = [hmac.compare_digest(_check(secret, body, app_id), check) for secret in (self.current, *self.retired)]
        return any(matches)


def _check(secret: bytes, body: str, app_id: str) -> str:
    digest = blake2b(f"{body}\0{app_id}".encode(), digest_size=4, key=secret, person=b"ref-check").digest()
    return base32(int.from_bytes(digest), CHECK_CHARACTERS)
