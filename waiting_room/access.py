"""API keys: how a token is made, read and checked, and what each scope allows. Pure.

A token is ``wr_<key_id>_<secret>``: 80 random bits that name the key and 160 that prove it, each in lower-case
base32 (RFC 4648), which holds no underscore. It is shown once; what is kept is the SHA-256 of its secret part. A
slow hash would add nothing: nobody guesses 160 random bits.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from waiting_room.messages import AccessKey

_KEY_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 20
_TOKEN = re.compile(r"wr_([a-z2-7]{16})_([a-z2-7]{32})", re.ASCII)


class NotAToken(ValueError):
    """The text is not shaped like a token."""


class OwnerKind(StrEnum):
    """Whose key it is: ``AccessKey.owner_kind``."""

    APP = "app"
    CLINIC = "clinic"
    OPERATOR = "operator"
    PASS = "pass"  # noqa: S105 - no password
    """No key's: a patient with a pass stands for one booking, whose ref is the ``owner_id``."""


class Scope(StrEnum):
    """What a key may be used for: ``AccessKey.scopes``."""

    APPOINTMENTS_READ = "appointments:read"
    """See bookings made by the key's app."""
    APPOINTMENTS_WRITE = "appointments:write"
    """Book and cancel for the key's app."""
    CLINIC_READ = "clinic:read"
    """See bookings and stock at the key's clinic."""
    CLINIC_WRITE = "clinic:write"
    """Change the clinic's calendars, stock and bookings."""
    WEBHOOKS = "webhooks"
    """Make, see and change the webhook endpoints of the key's app or clinic."""
    OPERATOR = "operator"
    """Everything, everywhere; each use is recorded."""


SCOPES_OF: Final[Mapping[OwnerKind, tuple[Scope, ...]]] = MappingProxyType(
    {
        OwnerKind.APP: (Scope.APPOINTMENTS_READ, Scope.APPOINTMENTS_WRITE, Scope.WEBHOOKS),
        OwnerKind.CLINIC: (Scope.CLINIC_READ, Scope.CLINIC_WRITE, Scope.WEBHOOKS),
        OwnerKind.OPERATOR: (Scope.OPERATOR,),
        OwnerKind.PASS: (Scope.APPOINTMENTS_READ, Scope.APPOINTMENTS_WRITE),
    }
)
"""The scopes a key of this owner may have; it has all of them unless fewer are asked for."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token's two parts. ``str`` gives the whole token; ``repr``, which ends up in logs, never the secret."""

    key_id: str
    secret: str

    def __str__(self) -> str:
        return f"wr_{self.key_id}_{self.secret}"

    def __repr__(self) -> str:
        return f"Token({self.key_id})"


def make_token() -> Token:
    """A new token nobody can guess."""
    return Token(_random_base32(_KEY_ID_BYTES), _random_base32(_SECRET_BYTES))


def parse_token(text: str) -> Token:
    """The parts of what a caller presents. Raises NotAToken, without repeating the text."""
    if match := _TOKEN.fullmatch(text):
        return Token(match[1], match[2])
    raise NotAToken("a key looks like wr_<16 characters>_<32 characters>, of a to z and 2 to 7")


def hash_of(secret: str) -> bytes:
    """What is stored of a token's secret part: ``AccessKey.secret_hash``, 32 bytes."""
    return sha256(secret.encode()).digest()


def opens(key: AccessKey, token: Token, now: datetime) -> bool:
    """Whether ``token`` is this key's, and the key neither expired nor revoked; hashes are compared in equal time."""
    right = key.key_id == token.key_id and hmac.compare_digest(key.secret_hash, hash_of(token.secret))
    expired = key.expires_at is not None and key.expires_at <= now
    return right and not expired and key.revoked_at is None


def _random_base32(count: int) -> str:
    return b32encode(secrets.token_bytes(count)).decode().lower()
