"""Who is asking: API keys as the compacted topic ``access.keys`` tells them, checked without a database."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from ingress import problems
from ingress.refusal import Refused
from waiting_room.access import NotAToken, OwnerKind, Scope, opens, parse_token
from waiting_room.messages import AccessKey, Reader, Unreadable

log = structlog.get_logger(__name__)

_PROVEN_MAX: Final = 10_000
_PROVEN_BYTES: Final = 128
"""Of one header: a key's are 59, however much space a caller leaves before it."""
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="waiting-room"'}


class Keys:
    """Every key there is, by key_id."""

    def __init__(self) -> None:
        self._keys: dict[str, AccessKey] = {}
        self._proven: dict[bytes, AccessKey] = {}
        self._read: Reader[AccessKey] = Reader(AccessKey)

    def apply(self, key_id: str, value: bytes | None) -> None:
        """Take a record of the topic. One that cannot be read takes its key away: better refused than misread."""
        self._keys.pop(key_id, None)
        self._proven.clear()
        if value is None:
            return
        try:
            self._keys[key_id] = self._read(value)
        except Unreadable as error:
            log.error("access_key_unreadable", key_id=key_id, error=str(error))

    def authenticate(self, authorization: bytes | None, now: datetime) -> AccessKey:
        """The key that an ``Authorization`` header's value proves. Raises Refused (401)."""
        if authorization is None:
            raise unauthenticated("The request has no Authorization header.")
        # A header that proved its key goes on proving it until some key changes, or it expires.
        key = self._proven.get(authorization)
        if key is None:
            key = self._prove(authorization, now)
            if len(self._proven) >= _PROVEN_MAX:
                self._proven.clear()
            if len(authorization) <= _PROVEN_BYTES:
                self._proven[authorization] = key
        elif key.expires_at is not None and key.expires_at <= now:
            raise unauthenticated("The API key has expired.")
        return key

    def _prove(self, authorization: bytes, now: datetime) -> AccessKey:
        scheme, _, text = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise unauthenticated("The Authorization header is not of the Bearer kind.")
        try:
            token = parse_token(text.strip())
        except NotAToken as error:
            raise unauthenticated(f"The Authorization header holds no API key: {error}.") from error
        key = self._keys.get(token.key_id)
        if key is None or not opens(key, token, now):
            raise unauthenticated("The API key is not one of ours, or it has expired or was revoked.")
        return key


def require_scope(key: AccessKey, *allowed: Scope) -> None:
    """Raises Refused (403) unless the key has one of these scopes, or is an operator's, whose use is recorded."""
    if any(scope in key.scopes for scope in allowed):
        return
    if Scope.OPERATOR in key.scopes:
        log.info("operator_access", key_id=key.key_id, operator=key.owner_id, as_scope=allowed[0])
        return
    raise Refused(problems.FORBIDDEN, f"The API key lacks the scope {' or '.join(allowed)}.")


def require_app(key: AccessKey) -> None:
    """Raises Refused (403): an app commands and lists what it has booked itself, nobody else does."""
    if key.owner_kind != OwnerKind.APP:
        raise Refused(problems.FORBIDDEN, "Only a patient app's key may do that.")


def unauthenticated(detail: str) -> Refused:
    """Nobody we know is asking (401)."""
    return Refused(problems.UNAUTHENTICATED, detail, headers=_CHALLENGE)
